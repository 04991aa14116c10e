#!/bin/sh
# A whole round on the small data set: train, eval, compare, in every format, and what a second run does.
#
#   smoke.sh FMNIST DATA
set -eu

fmnist=$1
data=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Threads that spin at a barrier starve one another when other tests have the cores.
export OMP_WAIT_POLICY=passive

fail() {
    echo "FAILED: $*"
    [ ! -s err ] || sed 's/^/    stderr: /' err
    exit 1
}

# call ARGUMENT...: must succeed; out and err are what it wrote.
call() {
    "$fmnist" "$@" >out 2>err || fail "'$*' exits with $?"
}
out_has() { grep -qE -- "$1" out || fail "standard output lacks '$1': $(cat out)"; }
err_has() { grep -qE -- "$1" err || fail "standard error lacks '$1'"; }

call info
out_has '^backend cpu .*oneDNN [0-9.]+ \(compiled against [0-9.]+\)'

# Training. 1,000 images: 900 to train on, 50 to select, 50 to calibrate; 400 to test.
call train --model simple --data "$data" --epochs 2 --epoch-images 0 --batch 64 --shift 0 --out run
head -n 1 err | grep -qE '^cpu: .*oneDNN [0-9.]+' || fail "the first line does not name the device"
err_has '^epoch 1/2: loss [0-9.]+, accuracy [0-9.]+ %'
err_has '^epoch 2/2: '
! grep -q "$(printf '\r')" err || fail "a progress line outside a terminal"
out_has 'simple +tiny +[a-z0-9]+ +[0-9.]+ %'
for file in config.json log.jsonl model.safetensors result.json confusion-test.png; do
    [ -s "run/$file" ] || fail "run/$file is missing"
done
[ "$(wc -l <run/log.jsonl)" -eq 2 ] || fail "log.jsonl has not a line an epoch"

# The network has learnt: chance is 10 %.
call eval run --data "$data" --format json
out_has '"accuracy": 0\.[4-9]'
out_has '"same_data": true'
[ -s run/confusion-test.png ] || fail "no picture"

# A run is not overwritten unless told to.
before=$(cksum <run/result.json)
status=0
"$fmnist" train --model simple --data "$data" --out run >out 2>err || status=$?
[ "$status" -eq 1 ] || fail "a run in the way: exit status $status"
err_has 'holds a run already'
[ ! -s out ] || fail "a failure prints a result"
[ "$(cksum <run/result.json)" = "$before" ] || fail "the run in the way was changed"
call train --model simple --data "$data" --epochs 1 --epoch-images 320 --batch 32 --out run --force \
    --quiet --format json
[ ! -s err ] || fail "--quiet is not quiet"
out_has '"epochs": 1'
out_has '"run": "run"'

# Evaluation: every split, every format.
for split in select calibrate test; do
    call eval run --data "$data" --split "$split"
    out_has "$split"
    out_has 'Confusion matrix'
    [ -s "run/confusion-$split.png" ] || fail "no picture of $split"
done
out_has 'T-shirt'
# Fewer threads than were asked for do all of the work.
call eval run --data "$data" --format csv
grep -v '^seconds' out >threads
OMP_MAX_ACTIVE_LEVELS=0 "$fmnist" eval run --data "$data" --format csv >out 2>err || fail "eval by one thread"
grep -v '^seconds' out | cmp - threads || fail "one thread gives another result than two"
latin=$(printf 'caf\351') # a folder's name that is not UTF-8, as JSON is
cp -r run "$latin"
call eval "$latin" --data "$data" --format json
out_has "\"run\": \"caf$(printf '\357\277\275')\","
call eval run --data "$data" --format csv
out_has '^accuracy,,,0\.'
out_has '^same_data,,,1'
out_has '^confusion,Coat,Pullover,[0-9]'
call eval run --data "$data" --format markdown
out_has '^\| Coat '

# A run folder that cannot be written to costs the picture alone. (Root may write anywhere; a folder
# in the file's place is in everybody's way.)
cp -r run kept
rm kept/confusion-test.png
mkdir kept/confusion-test.png
call eval kept --data "$data"
err_has '^warning: the picture of the confusion matrix is not drawn: kept/confusion-test\.png: '
out_has 'Confusion matrix \(rows'
! grep -q 'as a picture' out || fail "a picture is told of that is not drawn"
call eval kept --data "$data" --format json
out_has '"picture": null'
out_has '"accuracy": 0\.'
[ -z "$(find kept -name '*.tmp-*')" ] || fail "a temporary file is left"

# Where the run's data are gone, others do with the same classes in the same order, and that is said.
cp -r "$data" gone
call train --model simple --data gone --epochs 1 --epoch-images 320 --batch 32 --out moved
cp -r gone other
rm -r gone
FMNIST_DATA=$work/other
export FMNIST_DATA
gzip -dc "$data/t10k-labels-idx1-ubyte.gz" >other/t10k-labels-idx1-ubyte
rm other/t10k-labels-idx1-ubyte.gz
printf '\001' | dd of=other/t10k-labels-idx1-ubyte bs=1 seek=8 conv=notrunc 2>/dev/null
call eval moved
err_has 'are not those that the run was trained on \(.*gone\)'
out_has '^The data are not those that the run was trained on'
call eval moved --format csv
out_has '^same_data,,,0'
call eval moved --format json
out_has '"same_data": false'
sed -e 's/^Coat$/x/' -e 's/^Dress$/Coat/' -e 's/^x$/Dress/' "$data/classes.txt" >other/classes.txt
status=0
"$fmnist" eval moved >out 2>err || status=$?
[ "$status" -eq 1 ] || fail "eval on classes in another order: exit status $status"
[ ! -s out ] || fail "a failure prints a result"
err_has 'other: class 3 is "Coat", that of moved is "Dress": .* --data DIR \(it was .*gone\)'
unset FMNIST_DATA

# Comparison: trains two, then reuses both.
call compare --data "$data" --models simple,simple-ref --epochs 1 --batch 64 --out table --trace t.json
out_has 'simple-ref'
out_has '923,914'
ls table/*.md table/*.csv table/*.json table/*.png >/dev/null || fail "files of the comparison"
for event in gather upload 'wait for slot'; do
    grep -q "^{\"name\":\"$event\",\"ph\":\"X\"" t.json || fail "no event '$event' in the trace"
done
tail -n 1 t.json | grep -qx ']' || fail "the trace was not closed"
# With standard error closed, what is printed there must not go into a file that is opened then.
"$fmnist" train --model simple --data "$data" --epochs 1 --batch 64 --out silent --trace t.json \
    >out 2>&- || fail "train without standard error"
! grep -v '^[][{]' t.json || fail "messages are in the trace"
call compare --data "$data" --models simple,simple-ref --epochs 1 --batch 64 --format json
err_has 'simple .*reusing the finished run'
err_has 'simple-ref .*reusing the finished run'
! grep -q '^epoch ' err || fail "the second comparison trains"

# On a terminal a line is redrawn while an epoch runs, and the result still goes to standard output.
if script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
    script -qec "'$fmnist' train --model simple --data '$data' --epochs 1 --batch 64 --out seen >shown" \
        /dev/null >err </dev/null || fail "train on a terminal"
    grep -q "$(printf '\repoch 1/1')" err || fail "no progress line on a terminal"
    grep -q '^simple' shown || fail "no result beside a terminal"
    script -qec "stty cols 60; '$fmnist' recipe" /dev/null >folded </dev/null || fail "recipe on a terminal"
    tr -d '\r' <folded | awk 'length > 60 { exit 1 }' || fail "a line is wider than the terminal: $(cat folded)"
    "$fmnist" recipe | awk 'length > 60 { found = 1 } END { exit !found }' || fail "a pipe's lines are folded"
else
    echo "SKIP: the progress line: script(1) can make no pseudo-terminal here"
fi

# --max-minutes ends a training at an epoch and the result says so.
call train --model simple --data "$data" --epochs 5000 --max-minutes 0.02 --format json
out_has '"ended_early": true'
