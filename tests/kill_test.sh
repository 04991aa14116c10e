#!/bin/sh
# A run that is killed again and again ends in the same bits as one that never was.
#
#   kill_test.sh FMNIST DATA KILLS MODEL [OPTION...]
#
# One run goes through. Others are killed with SIGKILL at random moments and gone on with, until
# they end and KILLS kills have been made; of each, the weights, the last checkpoint, the log and
# every figure of the result must be the unbroken run's. The moments are random; how far the run has
# got decides from which span of time they are drawn, so that all of a run is hit: its beginning,
# its epochs, its end. FMNIST_KILL_SEED=N draws the moments of an earlier call again.
# shellcheck disable=SC2059 # octal escapes
set -eu

fmnist=$1
data=$2
tests=$(cd "$(dirname "$0")" && pwd)
kills=$3
model=$4
shift 4

seed=${FMNIST_KILL_SEED:-$(date +%s)}
epochs=4
# Enough of each phase to mean something: before the first checkpoint, at the end.
least=$((kills / 8))
[ "$least" -ge 2 ] || least=2

# Threads that spin at a barrier starve one another when other tests have the cores.
export OMP_WAIT_POLICY=passive

work=$(mktemp -d)
child=
in_place= # "exec" where the shell that makes the call is to become it
trap '[ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"

fail() {
    echo "FAILED: $*"
    [ ! -s err ] || sed 's/^/    stderr: /' err
    echo "the same moments again: FMNIST_KILL_SEED=$seed"
    exit 1
}

# A tail batch, augmentation, averages and the best epoch's weights: all that has a state.
train_new() {
    folder=$1
    shift
    $in_place "$fmnist" train --model "$model" --data "$data" --epochs $epochs --epoch-images 328 --batch 32 \
        --shift 2 --flip true --erase 0.5 --mix 0.5 --mix-cut 0.5 --ema-decay 0.9 --keep best --train-eval 200 \
        --test-flip true --out "$folder" "$@"
}

. "$tests/run_figures.sh"

# Names on standard output what differs between two runs.
differences() {
    for file in model.safetensors last.safetensors log.jsonl; do
        cmp -s "$1/$file" "$2/$file" || printf '%s ' "$file"
    done
    figures "$1" >figures-1
    figures "$2" >figures-2
    cmp -s figures-1 figures-2 || printf 'result.json '
}

now_ms() { echo $(($(date +%s%N) / 1000000)); }

awk -v seed="$seed" 'BEGIN { srand(seed); for (i = 0; i < 100000; i++) print int(1e6 * rand()) }' >random
exec 3<random
# A random number of milliseconds below the argument.
random_ms() {
    read -r millionths <&3
    echo $(($1 * millionths / 1000000))
}

# ---- The unbroken run, without checkpoints within an epoch

begin=$(now_ms)
train_new whole --checkpoint-seconds 0 "$@" >out 2>err || fail "the unbroken run exits with $?"
all=$(($(now_ms) - begin))
training=$(sed -n 's/^  "total_seconds": \([0-9.]*\),/\1/p' whole/result.json)
training=$(awk -v s="$training" 'BEGIN { print int(1000 * s) }')
around=$((all - training)) # opening the device, reading the data, testing
[ "$(wc -l <whole/log.jsonl)" -eq $epochs ] || fail "the unbroken run has not $epochs lines of log"
grep -q '"correct": [1-9]' whole/result.json || fail "figures of the unbroken run are missing"
figures whole >figures-1
grep -q '"accuracy"' figures-1 && ! grep -qE 'seconds|"p50"|"command"' figures-1 ||
    fail "the figures to compare are not what they should be"

# ---- The comparison notices what it is for

[ -z "$(differences whole whole)" ] || fail "a run differs from itself"
train_new other --seed 2 --checkpoint-seconds 0 "$@" >out 2>err || fail "another seed exits with $?"
[ "$(differences whole other)" = "model.safetensors last.safetensors log.jsonl result.json " ] ||
    fail "another seed is seen in '$(differences whole other)' only"
rm -r other
cp -r whole planted
# One bit of the last byte.
last=$(tail -c 1 planted/model.safetensors | od -An -tu1 | tr -d ' ')
size=$(wc -c <planted/model.safetensors)
printf "\\$(printf %03o $((last ^ 1)))" |
    dd of=planted/model.safetensors bs=1 seek=$((size - 1)) conv=notrunc 2>/dev/null
sed '$d' whole/log.jsonl >planted/log.jsonl
[ "$(differences whole planted)" = "model.safetensors log.jsonl " ] ||
    fail "a flipped bit and a missing line are seen in '$(differences whole planted)' only"
rm -r planted

# ---- Kills

made=0 begun=0 middle=0 end=0 writing=0 rounds=0

# How far the run has got, by what its folder holds.
phase() {
    if [ ! -e run/last.safetensors ]; then
        echo begin # up to the first checkpoint
    elif grep -q "\"epoch\":$epochs," run/times.jsonl; then
        echo end # the last checkpoint, the weights, the test
    else
        echo middle
    fi
}

# Counts the kill that was just made.
count() {
    made=$((made + 1))
    case $(phase) in
    begin) begun=$((begun + 1)) ;;
    middle) middle=$((middle + 1)) ;;
    end) end=$((end + 1)) ;;
    esac
    half=$(find run -name '*.tmp*' 2>/dev/null || true) # the folder may not be there yet
    [ -z "$half" ] || [ "$half" = "$half_before" ] || writing=$((writing + 1))
    half_before=$half
}
half_before=

# Starts the run, or goes on with it, and kills it after so many milliseconds. False: it had ended.
kill_after() {
    if [ -e run/config.json ]; then
        "$fmnist" train --resume run --checkpoint-seconds 0.08 >out 2>err &
    else
        in_place='exec' train_new run --checkpoint-seconds 0.08 "$@" >out 2>err &
    fi
    child=$!
    sleep "$(printf '%d.%03d' $((milliseconds / 1000)) $((milliseconds % 1000)))"
    kill -KILL $child 2>/dev/null || true
    status=0
    wait $child 2>/dev/null || status=$?
    child=
    case $status in
    0) return 1 ;;
    137) return 0 ;;
    *) fail "a call of round $rounds exits with $status (after $made kills)" ;;
    esac
}

# The span of time, in milliseconds, from which the moment of the next kill is drawn; nothing where
# the run is to go on to its end.
span() {
    if [ $made -ge "$kills" ] && [ $end -ge $least ]; then
        # At most kills at the beginning are lacking.
        [ $begun -ge $least ] || [ "$at" != begin ] || echo $((around / 4 + 20))
        return
    fi
    case $at in
    begin) [ $here -ge $least ] && echo $((around + training / 6)) || echo $((around / 4 + 20)) ;;
    middle) echo $((around + training / 6)) ;;
    end) [ $here -ge $least ] || echo $((around + training / 20)) ;;
    esac
}

# One run, killed until it is done. On a machine that has become slow kills come before any progress
# is made: then the span grows.
round() {
    at='' before='' here=0 quarters=4
    while [ ! -e run/result.json ]; do
        was=$at
        at=$(phase)
        [ "$at" = "$was" ] && here=$((here + 1)) || here=0
        progress=$(cat run/times.jsonl 2>/dev/null | wc -l)
        [ "$progress" = "$before" ] && quarters=$((quarters + 1)) || quarters=4
        before=$progress
        limit=$(span)
        if [ -z "$limit" ] && [ -e run/config.json ]; then
            "$fmnist" train --resume run >out 2>err || fail "the end of round $rounds: exit status $?"
        elif [ -z "$limit" ]; then
            train_new run "$@" >out 2>err || fail "round $rounds: exit status $?"
        else
            milliseconds=$(random_ms $((limit * quarters / 4)))
            if kill_after "$@"; then
                count
            fi
        fi
    done
}

while [ $made -lt "$kills" ] || [ $begun -lt $least ] || [ $end -lt $least ]; do
    rounds=$((rounds + 1))
    [ $rounds -le $((kills + 10)) ] || fail "$made kills in $rounds runs: $begun before the first" \
        "checkpoint, $end at the end; at least $least of each were wanted"
    rm -rf run
    round "$@"
    different=$(differences whole run)
    [ -z "$different" ] || fail "round $rounds, after $made kills, differs from the unbroken run: $different"
    [ -z "$(find run -name '*.tmp*')" ] || fail "half written files stay: $(ls run)"
    # Nothing of what computes has changed, and no call may have taken it for changed.
    grep -q '"threads"' run/compute.json || fail "run/compute.json does not tell what computes"
    ! grep -q '"changed"' run/compute.json || fail "round $rounds: what computes is said to have" \
        "changed: $(cat run/compute.json)"
done
echo "$made kills in $rounds runs: $begun before the first checkpoint, $middle between the first and" \
    "the last epoch's, $end after that; $writing left a half written file (seed $seed)"
