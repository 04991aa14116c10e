#!/bin/sh
# A training that is taught by finished runs, as a user does it: what it is told and labelled, that
# it goes on to the same bits, and which runs cannot teach.
#
#   teacher.sh FMNIST DATA BACKEND
#
# BACKEND cpu: all of it. cuda (the simulated device): what computes alone, on fewer images.
# shellcheck disable=SC2086 # lists of words
set -eu

fmnist=$1
data=$2
backend=$3
tests=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
child=
trap '[ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"

# Threads that spin at a barrier starve one another when other tests have the cores.
export OMP_WAIT_POLICY=passive
unset SIM_SEED SIM_DEVICE SIM_DRIVER SIM_MEMORY SIM_INJECT SIM_SHADOW

. "$tests/calls.sh"

. "$tests/run_figures.sh"

images=200
[ "$backend" = cpu ] || images=40
# Drawn views, which a teacher has to see as they are drawn; a tail batch.
shape="--backend $backend --epochs 2 --epoch-images $images --batch 32 --train-eval 32
    --shift 2 --flip true --erase 0.5 --mix 0.5 --mix-cut 0.5"
some="$shape --data $data"
call 0 train --model simple $some --seed 2 --out first
call 0 train --model simple-ref $some --seed 3 --out second
call 0 train --model simple $some --out alone

# ---- Taught

call 0 train --model simple $some --teacher first --out taught
err_has "^teacher: simple, $work/first, computed in "
out_has '^model +taught by +data '
out_has '^simple +simple, 0\.9 of the targets '
for key in '"share": 0\.9' "\"run\": \"$work/first\"" '"model": "simple"' \
    "\"sha256\": \"$(sha256sum first/model.safetensors | cut -d' ' -f1)\""; do
    has taught/config.json "$key"
    has taught/result.json "$key"
done
has alone/config.json '"teaching": null'
[ "$(grep -c ' forward: ' taught/compute.json)" -gt "$(grep -c ' forward: ' alone/compute.json)" ] ||
    fail "taught/compute.json does not tell how the teacher computes"
! cmp -s taught/model.safetensors alone/model.safetensors || fail "a teacher changes nothing"
call 0 train --model simple $some --teacher first --teacher second --teacher-share 0.5 --out both
out_has '^simple +simple and simple-ref, 0\.5 of the targets '
! cmp -s taught/model.safetensors both/model.safetensors || fail "a second teacher changes nothing"
call 0 report --data "$data" taught alone --out report
grep -q 'taught by simple, 0.9 of the targets' report/report.html ||
    fail "a report does not say what taught a run"
grep -q 'the loss against mixed and taught targets' report/report.html ||
    fail "a report does not say what a taught run's loss is of"
grep -q 'simple-taught' report/report.html || fail "a report names a taught run like another"
call 0 eval taught --data "$data"
out_has '^taught +test +training split, taught by others '
call 0 eval taught --data "$data" --format csv
out_has '^taught,,,1'
call 0 eval alone --data "$data" --format csv
out_has '^taught,,,0'

if "$fmnist" export taught --out exported >out 2>err; then
    grep -qa 'simple, 0\.9 of the targets' exported/*.onnx ||
        fail "an exported network does not say what taught it"
else
    err_has 'built without' # ONNX
fi
call 0 bench taught --data "$data" --batches 1 --train-batches 32 --seconds 0.05
out_has "as the run's recipe has it, without its teachers"

# Killed within an epoch, and gone on with.
kill_at_checkpoint killed --model simple $some --teacher first
call 0 train --resume killed
err_has 'going on from'
same killed taught

call 0 train --model simple $some --teacher first --resident --out resident
same resident taught

[ "$backend" = cpu ] || exit 0

# ---- A run that is moved away from its teacher

mkdir unfinished
cp taught/config.json taught/data.json unfinished
mv first moved
call 1 train --resume unfinished
err_has "$work/first holds no finished run"
err_has 'teacher 1 of 1, simple: .*; --teacher RUN, once for each in this order, names where'
call 1 train --resume unfinished --teacher second
err_has "second: the SHA-256 of its weights is [0-9a-f]{16}\.\.\., the run is taught by those of"
call 2 train --resume unfinished --teacher moved --teacher second
err_has 'once for each teacher of the run in unfinished: found 2, expected 1'
call 0 train --resume unfinished --teacher moved
same unfinished taught
mv moved first
mkdir swapped
cp both/config.json both/data.json swapped
call 1 train --resume swapped --teacher second --teacher first
err_has 'teacher 1 of 2, simple: .*/second: the SHA-256 of its weights is '

# ---- What has no teachers

call 0 audit taught --data "$data" --folds 2 --out audit
err_has 'the run was taught by others, which may have seen any label: its folds are trained without'
grep -q 'These networks were not: its teachers may have seen any' audit/audit.html ||
    fail "the page of an audit does not tell that its networks had no teacher"

# ---- What a comparison of the untaught may not take for one of them

mkdir runs
cp -r taught runs/taught
call 0 compare --models simple $some --runs runs --out compared
err_has '^simple \(1 of 1\): training$'

# ---- Who cannot teach

refused() {
    status=$1 message=$2
    shift 2
    call "$status" train "$@" --out refused
    err_has "$message"
    [ ! -e refused ] || fail "'$*' leaves a folder"
}
call 0 train --model simple $some --full --keep last --out whole
refused 1 'whole was trained with --full, on images that are held out here' \
    --model simple $some --teacher whole
call 0 train --model simple $some --full --keep last --teacher whole --out whole-taught
mkdir other
cp "$data"/* other
cp "$data"/t10k-labels-idx1-ubyte.gz other/labels.gz
gzip -dc other/labels.gz | head -c 8 >other/labels
gzip -dc other/labels.gz | tail -c +9 | tr '\000\001' '\001\000' >>other/labels
gzip -c other/labels >other/t10k-labels-idx1-ubyte.gz
rm other/labels other/labels.gz
refused 1 'first was trained on other data .*tiny. than are in .*other, and may have seen images' \
    --model simple $shape --data other --teacher first
refused 1 'whole/model.safetensors is a file, expected a run folder' \
    --model simple $some --teacher whole/model.safetensors
refused 1 'unbegun: no such file or folder' --model simple $some --teacher unbegun
refused 2 '--teacher-share needs a teacher: --teacher RUN names one' \
    --model simple $some --teacher-share 0.5
refused 2 '--teacher is for images, and --mode frozen trains on features' --model vgg16 \
    --weights first/model.safetensors --shift 0 --flip false --erase 0 --data "$data" --teacher first
refused 2 '--teacher ./first is given twice' --model simple $some --teacher first --teacher ./first
cp -r alone untaught
rm untaught/result.json
call 2 train --resume untaught --teacher first
err_has 'the run in untaught has no teachers'
call 2 train --model simple $some --teacher first --out first --force
err_has "--force would remove the teacher $work/first: another --out leaves it"
[ -e first/result.json ] || fail "--force has removed a teacher"

# ---- Several seeds

call 0 train --model simple $some --teacher first --seeds 2 --out group
out_has '^simple +simple, 0\.9 of the targets .* mean '
same group/seed-1 taught
call 2 train --model simple $some --teacher group/seed-2 --seeds 2 --out group --force
err_has "--force would remove the teacher $work/group/seed-2"
