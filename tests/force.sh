#!/bin/sh
# What a training may take the place of, and what has to stay: runs that the new one begins with, runs
# that a mistake would cost, folders of other trainings.
#
#   force.sh FMNIST DATA
# shellcheck disable=SC2086 # lists of words
set -eu

fmnist=$1
data=$2
tests=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_WAIT_POLICY=passive

. "$tests/calls.sh"

some="--model simple --precision fp32 --epochs 1 --epoch-images 64 --batch 32 --threads 2 --quiet"
here="$some --data $data"

# keeps FOLDER: its weights are those that it had when it was trained.
weights() { (cd "$1" && find . -name model.safetensors -exec cksum {} + | sort); }
keeps() { weights "$1" | cmp -s - "$1.kept" || fail "the weights in $1 are not what they were"; }

call 0 train $here --out run
call 0 train $here --seeds 3 --out group
cp -r run traced
call 0 train $here --out traced --force --trace trace.json
tail -n 1 trace.json | grep -qx ']' || fail "a replacing run is not traced"
weights run >run.kept
weights group >group.kept

# ---- A mistake costs nothing

call 1 train $some --data nowhere --out run --force
keeps run
call 1 train $some --data nowhere --seeds 2 --out group --force
keeps group
call 1 train $here --out run --force --trace nowhere/trace.json
err_has 'nowhere/trace.json: cannot write the trace'
keeps run
call 1 train $here --seeds 2 --out group --force --trace nowhere/trace.json
keeps group
mkdir other
for part in images-idx3 labels-idx1; do
    cp "$data/train-$part-ubyte.gz" "other/t10k-$part-ubyte.gz"
    cp "$data/t10k-$part-ubyte.gz" "other/train-$part-ubyte.gz"
done
nameless=$(printf 'caf\351')
cp -r "$data" "$nameless"
call 1 train $some --data "$nameless" --out run --force
err_has 'is not UTF-8'
keeps run
call 1 train $some --data "$nameless" --seeds 2 --out group --force
keeps group
call 1 train $some --data other --teacher group/seed-1 --out run --force
err_has 'group/seed-1 was trained on other data'
keeps run

# ---- The runs of a group have the same data, also one that has not come to its data yet

cp -r group partly
find partly/seed-3 -type f ! -name config.json -delete
call 1 train --resume partly --data other --quiet
err_has 'partly: the data in other are not those that the first of its runs has been trained on'
call 0 train --resume partly --quiet
weights partly | cmp -s - group.kept || fail "the group that went on has other weights"

# ---- What a run begins with stays

call 2 train $here --seed 7 --seeds 2 --teacher group/seed-3 --out group --force
err_has "--force would remove the teacher $work/group/seed-3: another --out leaves it"
keeps group
call 2 train --model vgg16 --data "$data" --weights group/seed-1/model.safetensors \
    --mode finetune --out group/seed-1 --force
err_has "--force would remove the weights $work/group/seed-1/model.safetensors"
keeps group
call 0 train $here --teacher group/seed-3 --out run --force
[ -e run/result.json ] || fail "a teacher outside stops --force"

# ---- A group knows its runs

rm -r group/seed-2
cp -r run group/seed-2
rm group/seed-1/result.json
call 1 train --resume group --quiet
err_has 'group/seed-2 holds another training than the group .*: move it away'
[ ! -e group/seed-1/result.json ] || fail "a seed is trained before all are looked at"
rm -r group/seed-2
call 0 train --resume group --quiet
keeps group
call 0 train $here --seed 2 --shift 1 --out mixed/seed-2
call 1 train $here --seeds 2 --out mixed
err_has 'mixed/seed-2: holds a run already'
call 0 train $here --seeds 2 --out mixed --force
grep -q '"shift": 0' mixed/seed-2/config.json || fail "a group has kept an older run"

# ---- What is not computed is not measured; and threads that there are not are not waited for

rm run/result.json
call 0 train --resume run --quiet
grep -q '"peak_memory": null' run/result.json || fail "a test's memory is told as a training's"
OMP_THREAD_LIMIT=1 timeout 60 "$fmnist" train $here --out limited >out 2>err || fail "one thread: $?"
grep -q '"threads": 1,' limited/config.json || fail "threads that OMP_THREAD_LIMIT forbids are told"
