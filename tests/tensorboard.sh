#!/bin/sh
# --tensorboard: event files that TensorBoard itself reads, through kills and restarts, and that
# change nothing else of a run.
#
#   tensorboard.sh FMNIST DATA [PYTHON]     PYTHON: with the package tensorboard
set -eu

fmnist=$1
data=$2
python=${3:-${FMNIST_REFERENCE_PYTHON:-$(command -v python3 || true)}}
tests=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
child=
trap '[ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"
export OMP_WAIT_POLICY=passive

fail() {
    echo "FAILED: $*"
    [ ! -s err ] || sed 's/^/    stderr: /' err
    exit 1
}
call() {
    "$fmnist" "$@" >out 2>err || fail "'$*' exits with $?"
}
# files RUN COUNT: so many event files are there.
files() {
    found=$(find "$1" -name 'events.out.tfevents.*' | wc -l)
    [ "$found" -eq "$2" ] || fail "$1 holds $found event files, expected $2: $(ls "$1")"
}
same_bits() {
    for file in log.jsonl model.safetensors last.safetensors; do
        cmp -s "plain/$file" "$1/$file" || fail "$1/$file differs from the run without event files"
    done
}

recipe="--model simple --data $data --epochs 3 --epoch-images 160 --batch 32 --precision fp32"

# The same bits with and without.
# shellcheck disable=SC2086 # a list of words
train() { call train $recipe "$@"; }
train --out plain
files plain 0
train --out run --tensorboard
files run 1
same_bits run

# Finished but for its result: what was told of the test is told again, once.
cp -r run late
rm late/result.json
call train --resume late
files late 2
same_bits late

# Without any checkpoint the training begins anew, and so does what is told of it.
cp -r run anew
rm anew/result.json anew/last.safetensors
call train --resume anew
grep -q 'begins anew' err || fail "the training does not begin anew"
files anew 2
same_bits anew

# Killed as soon as the second epoch is told: its checkpoint may or may not be written. On a fast
# machine the training may have ended by then; without its result it goes on likewise. Then an
# unfinished last record, as a kill within a write leaves it.
: >err # an older one has a second epoch, too
# shellcheck disable=SC2086
"$fmnist" train $recipe --out killed --tensorboard >out 2>err &
child=$!
until grep -q '^epoch 2' err; do
    kill -0 $child 2>/dev/null || grep -q '^epoch 2' err || fail "ended before its second epoch"
    sleep 0.02
done
kill -KILL $child 2>/dev/null || true
wait $child 2>/dev/null || true
child=
rm -f killed/result.json
printf '\030\000\000\000' >>killed/events.out.tfevents.0001.fmnist
call train --resume killed # goes on being written without being asked for
files killed 2
same_bits killed

# Asked for only when the run goes on: told from its first epoch.
cp -r plain asked
rm asked/result.json
call train --resume asked --tensorboard
files asked 1
same_bits asked

# Asked for of one that has finished.
cp -r plain late-asked
call train --resume late-asked --tensorboard
files late-asked 1
same_bits late-asked

# A comparison gives its rows event files, and a finished run that it reuses.
call compare --models simple --data "$data" --epochs 3 --epoch-images 160 --batch 32 \
    --precision fp32 --runs rows --out compared
row=$(find rows -name log.jsonl)
row=${row%/log.jsonl}
files "$row" 0
for again in 1 2; do
    call compare --models simple --data "$data" --epochs 3 --epoch-images 160 --batch 32 \
        --precision fp32 --runs rows --out "compared-$again" --tensorboard
    grep -q 'reusing the finished run' err || fail "the run is trained again"
    files "$row" 1
done

# --force takes them away with the run, and nothing that is not ours.
cp -r run forced
touch forced/events.out.tfevents.1700000000.elsewhere
train --out forced --force
files forced 1
cp -r run rest
find rest -type f ! -name 'events.out.*' -delete
"$fmnist" train --model simple --data "$data" --out rest >out 2>err && fail "event files in the way"
grep -q "holds a run already (TensorBoard's event files)" err || fail "event files are not named"

[ -n "$python" ] || {
    echo "SKIP: what fmnist does is as expected; there is no Python to ask TensorBoard"
    exit 77
}
"$python" "$tests/tensorboard_reads.py" run late anew killed asked "$row"
