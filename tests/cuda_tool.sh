#!/bin/sh
# `fmnist` itself on the simulated device, as a user with a GPU calls it.
#
#   cuda_tool.sh FMNIST MEASURE MODULES DATA CASE
#
# FMNIST finds the simulated device's module where an installed one would lie; MEASURE is told by
# MODULES. The simulator makes a process that misused or leaked something end with status 86, so
# each expected status is a check of that, too.
# shellcheck disable=SC2015 # [ A ] && [ B ] || fail: fails where either does
set -eu

fmnist=$1
measure="$2 train --modules $3 --backend cuda --model simple"
data=$4
case=$5
tests=$(cd "$(dirname "$0")" && pwd)
. "$tests/run_figures.sh"

export OMP_WAIT_POLICY=passive
unset SIM_SEED SIM_DEVICE SIM_DRIVER SIM_MEMORY SIM_INJECT SIM_SHADOW XDG_CACHE_HOME
work=$(mktemp -d)
child=
trap '[ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"
export HOME="$work" # the cache of plans lies below it

. "$tests/calls.sh"
# This very text.
err_has() { grep -qF -- "$1" err || fail "standard error lacks '$1'"; }
err_lacks() { ! grep -qF -- "$1" err || fail "standard error has '$1'"; }
# One message, and the hint that may follow it.
one_error() { [ "$(grep -vc '^hint: ' err)" -eq "${1:-1}" ] || fail "expected ${1:-1} line(s) and a hint"; }

# Two short epochs with a tail.
small="--model simple --data $data --epochs 2 --epoch-images 72 --batch 32 --train-eval 64"
# shellcheck disable=SC2086 # they are options
begin() {
    folder=$1
    shift
    call 0 train $small --out "$folder" "$@"
}

same_bits() {
    same "$2" "$1"
    ! grep -q '"changed"' "$2/compute.json" || fail "$2: what computes is said to have changed"
}

# stop SIGNAL FOLDER FILE OPTION...: begins a run and stops it once it has left FILE. Again, if it
# was faster; the processor is, so nothing is waited for there.
pause='sleep 0.05'
stop() {
    signal=$1 folder=$2 file=$3
    shift 3
    for try in 1 2 3 4 5 6 7 8 9 10; do
        # shellcheck disable=SC2086
        "$fmnist" train $small --out "$folder" --force --checkpoint-seconds 0.01 "$@" >out 2>err &
        child=$!
        while [ ! -e "$folder/$file" ] && kill -0 $child 2>/dev/null; do $pause; done
        kill "-$signal" $child 2>/dev/null || true
        status=0
        wait $child 2>/dev/null || status=$?
        child=
        [ $status -eq 0 ] || break
        rm -r "$folder"
    done
    [ "$status" -gt 128 ] || fail "'$folder', to be stopped, exits with $status after $try tries"
    [ -e "$folder/last.safetensors" ] && [ ! -e "$folder/result.json" ] ||
        fail "'$folder' was not stopped between its first checkpoint and its end"
}

# The images of a run that are told right, by a backend.
correct() {
    call 0 eval "$1" --backend "$2" --format json
    sed -n 's/^ *"correct": \([0-9]*\),*/\1/p' out | head -n 1
}
agree() {
    gpu=$(correct "$1" cuda)
    cpu=$(correct "$1" cpu)
    [ -n "$gpu" ] && [ $((gpu - cpu)) -ge -1 ] && [ $((gpu - cpu)) -le 1 ] ||
        fail "$1: $gpu images are told right on the GPU, $cpu on the processor"
}

# A whole epoch of data/tiny, with its tail.
test_train() {
    call 0 train --model simple --data "$data" --epochs 1 --batch 128 --train-eval 64 --out run
    err_has 'cuda: NVIDIA H100'
    err_has 'chose the engines of'
    grep -q '^device memory: [1-9][0-9]* MiB taken at most, [1-9][0-9]* MiB were free$' err ||
        fail "what was taken of the device's memory is not told"
    for file in compute.json config.json data.json last.safetensors log.jsonl model.safetensors \
        result.json times.jsonl confusion-test.png; do
        [ -s "run/$file" ] || fail "run/$file is missing"
    done
    for has in '"backend": "cuda"' '"precision": "fp16"' '"steps": 8,' '"images": 900,' \
        '"emulate": false' '"device_memory": [1-9]' '"device_memory_free": [1-9]'; do
        grep -q "$has" run/result.json || fail "run/result.json lacks $has"
    done
    # Of full batches and of the tail.
    [ "$(grep -c 'conv2 backward data: engine [0-9]' run/compute.json)" -eq 2 ] ||
        fail "run/compute.json lacks plans"
    agree run
    [ "$cpu" -ge 160 ] || fail "of 400 images $cpu are told right: nothing was learned"
}

# Whatever may come between without changing a bit.
test_bits() {
    begin run
    err_has 'chose the engines of'
    # A second start builds nothing. Each is under another order of streams and blocks.
    export SIM_SEED=2
    begin again
    err_lacks 'chose the engines of'
    same_bits run again
    export SIM_SEED=3
    begin resident --resident
    same_bits run resident
    # Killed in the middle of an epoch.
    export SIM_SEED=4
    stop KILL killed last.safetensors
    call 0 train --resume killed
    err_has 'going on from killed/'
    same_bits run killed
    # A sticky error leaves what was before it.
    export SIM_INJECT=kernel:100:700
    # shellcheck disable=SC2086
    call 1 train $small --out lost --checkpoint-seconds 0.01
    [ "$(grep -c 'fmnist: error:' err)" -eq 1 ] || fail "not one line tells the error"
    err_has 'cudaErrorIllegalAddress'
    # shellcheck disable=SC2016
    err_has 'go on from the last checkpoint with `fmnist train --resume`'
    [ -e lost/last.safetensors ] && [ ! -e lost/result.json ] ||
        fail "the device was not lost between the first checkpoint and the end"
    unset SIM_INJECT
    call 0 train --resume lost
    err_has 'going on from lost/last.safetensors'
    same_bits run lost
}

# From the GPU to the processor, and from there to the GPU.
test_moved() {
    stop TERM there last.safetensors
    call 2 train --resume there --backend cpu --precision fp32
    call 1 train --resume there --backend cpu --strict
    err_has "the run in there was begun on backend 'cuda': on 'cpu' it ends in other bits"
    call 0 train --resume there --backend cpu
    err_has 'fp16 by rounding fp32'
    grep -q 'backend was "cuda", is "cpu"; device was "NVIDIA.*will end in other bits' err ||
        fail "it is not told that the run was moved"
    [ "$(grep -c 'other bits' err)" -eq 1 ] || fail "it is told more than once"
    grep -q '"backend": "cpu"' there/result.json || fail "there/result.json names another backend"
    grep -q '"device_memory": null' there/result.json || fail "a processor has memory of its own"
    grep -q '"changed"' there/compute.json || fail "there/compute.json does not tell the change"
    agree there

    pause=:
    stop TERM old compute.json --backend cpu --precision bf16 --emulate
    export SIM_DEVICE=t4
    call 1 train --resume old --backend cuda
    err_has 'was begun in bf16, which this device does not compute in'
    unset SIM_DEVICE
    stop TERM back compute.json --backend cpu --precision fp16
    call 0 train --resume back --backend auto
    err_has 'fp16 natively: the run was begun by rounding fp32'
    err_has 'going on from back/'
    grep -q 'backend was "cpu", is "cuda"; device was .*will end in other bits' err ||
        fail "it is not told that the run was moved back"
    grep -q '"backend": "cuda"' back/result.json || fail "back/result.json names another backend"
}

# What cannot be done is told in one line, with what to do.
refused() {
    setting=$1
    shift
    export "${setting?}"
    # shellcheck disable=SC2086
    call 1 train $small --out refused "$@"
    unset "${setting%%=*}"
    [ ! -e refused ] || fail "a run folder is left"
}
test_refusals() {
    refused SIM_DEVICE=t4 --precision bf16
    err_has "does not train in bf16: this GPU has compute capability 7.5, and bf16 needs 8.0"
    one_error 2 # the first line names the device
    refused SIM_DEVICE=none --backend cuda
    err_has "no NVIDIA GPU was found"
    one_error
    refused SIM_DRIVER=12020 --backend cuda
    err_has "the NVIDIA driver is for CUDA 12.2, but CUDA 13.0 is needed; install a newer driver"
    one_error
    refused SIM_DRIVER=0 --backend cuda
    err_has "no NVIDIA driver was found; install one"
    one_error
    refused SIM_DEVICE=v100 --backend cuda
    err_has 'has compute capability 7.0, but the kernels need 7.5 or newer'
    one_error
    refused SIM_INJECT=cudnnGetVersion:1:8907 --backend cuda
    err_has "but found 8.9.7; install that version"
    one_error
    # Without a usable GPU it is the processor, and that is said.
    export SIM_DEVICE=none
    begin run
    unset SIM_DEVICE
    grep -q '^cpu: ' err || fail "it is not told that the processor computes"

    # What the statuses of all these calls rest on: a leak is seen.
    export SIM_INJECT=cudaFree:3:1
    # shellcheck disable=SC2086
    $measure --data "$data" --precision fp16 --batch 4 --steps 1 --warmup 0 >out 2>err || status=$?
    unset SIM_INJECT
    [ "$status" -eq 86 ] && grep -q 'simcuda: LEAK: device memory' err ||
        fail "a leak ends with status $status"

    # Too little memory: what would fit does, and twice of it does not.
    export SIM_MEMORY=32
    call 1 train --model simple --data "$data" --epochs 1 --epoch-images 256 --batch 256 --out full
    fits=$(sed -n 's/^fmnist: error: .*batch 256: a batch of \([0-9]*\) would fit: .*/\1/p' err)
    [ -n "$fits" ] || fail "no batch is named that would fit"
    # shellcheck disable=SC2086
    $measure --data "$data" --precision fp16 --batch "$fits" --steps 1 --warmup 0 >out 2>err ||
        fail "a batch of $fits does not fit"
    # shellcheck disable=SC2086
    ! $measure --data "$data" --precision fp16 --batch $((2 * fits)) --steps 1 >out 2>err ||
        fail "a batch of $((2 * fits)) fits"
    unset SIM_MEMORY
}

# A step of one operation a primitive, and one that is timed by CUDA's events.
test_profile() {
    # shellcheck disable=SC2086
    $measure --data "$data" --precision fp16 --batch 4 --steps 2 --warmup 0 --unfused >out 2>err ||
        fail "an unfused step: status $?"
    grep -q '"mean_loss": [0-9]' out || fail "an unfused step has no loss"
    # shellcheck disable=SC2086
    $measure --data "$data" --precision fp16 --batch 4 --profile >out 2>err ||
        fail "a profile: status $?"
    for has in '"layer": "conv2"' '"pass": "forward"' '"pass": "backward weights"' \
        '"pass": "update"' '"plan": "engine [0-9]' '"seconds": [0-9.e-]*[1-9]'; do
        grep -q "$has" out || fail "the profile lacks $has: $(cat out)"
    done
}

# What a network costs where there is a device: seen by its clock as by the host's, and in energy, which
# a stand-in for NVML tells. The clock is virtual, so that its figures can be held to one another.
column() { # PHASE BATCH SEEN_BY FIGURE, of side $side
    tr -d '\r' <bench/bench.csv |
        awk -F, -v i="$side" -v p="$1" -v b="$2" -v s="$3" -v f="$4" \
            '$1 == i && $2 == p && $3 == b && $4 == s && $5 == f { print $7 }'
}
holds() { # AWK-CONDITION WHAT
    awk "BEGIN { exit !($1) }" </dev/null || fail "$2: not so: $1"
}
test_bench() {
    call 0 bench --model simple --data "$data" --batches 1,4 --train-batches 4 --seconds 0.01 \
        --versus fp32+unfused -o bench
    grep -q '^Predictions as the device sees them' out || fail "no times of the device: $(cat out)"
    grep -q '^Energy of the whole GPU' out || fail "no energy: $(cat out)"
    grep -q '^measured on: NVIDIA H100' out || fail "the device is not named"
    grep -q '; of the device, all sides together [1-9]' out || fail "no memory of the device"
    for side in fp16 fp32+unfused; do
        for place in predictions,1 predictions,4 training,4; do
            phase=${place%,*} batch=${place#*,}
            holds "$(column "$phase" "$batch" device p50) > 0" "$side $place: on the device"
            holds "$(column "$phase" "$batch" device runs) >= 3" "$side $place: on the device"
            holds "$(column "$phase" "$batch" host runs) >= 3" "$side $place: by the host"
            # 350 W, by the same virtual clock: no less than the steps themselves take.
            joules=$(column "$phase" "$batch" '' joules_per_1000_images)
            took=$(column "$phase" "$batch" device p50)
            holds "$joules > 0.7 * 350 * 1000 * $took / $batch && $joules < 700 * 1000 * $took / $batch" \
                "$side $place: energy"
        done
    done
    fp32=$(column predictions 4 device p50)
    side=fp16
    holds "$fp32 > $(column predictions 4 device p50)" "fp32 unfused takes longer than fp16"
    [ -s bench/throughput.svg ] || fail "no chart"

    # Where NVML is missing or tells no energy, the rest is measured, with the reason.
    few="bench --model simple --data $data --batches 1 --train-batches 2 --seconds 0.01 --format json"
    export SIM_INJECT=nvmlDeviceGetTotalEnergyConsumption:1:3
    # shellcheck disable=SC2086
    call 0 $few
    unset SIM_INJECT
    grep -q '"no_energy": "NVML: nvmlDeviceGetTotalEnergyConsumption: Not Supported"' out ||
        fail "it is not told why there is no energy"
    grep -q '"joules_per_1000_images": null' out || fail "energy without a counter"
    mkdir broken
    : >broken/libnvidia-ml.so.1
    # shellcheck disable=SC2086
    LD_LIBRARY_PATH=$work/broken:$LD_LIBRARY_PATH call 0 $few
    grep -q '"no_energy": "NVML: .*libnvidia-ml.so.1' out || fail "a missing NVML is not told"
    grep -q '"device_clock": true' out || fail "without NVML the device has no clock"

    # A batch that is too large leaves the others to be measured.
    export SIM_MEMORY=32
    call 0 bench --model simple --data "$data" --batches 1,1024 --train-batches 2 --seconds 0.01
    unset SIM_MEMORY
    grep -q '^left out: predictions, batch 1024: .*would fit: .*GPU memory' out ||
        fail "a batch that does not fit is not told"
    grep -q '^ *1  fp16 ' out || fail "nothing else was measured"
    ! grep -q '^ *1024  fp16 ' out || fail "a batch that does not fit was measured"
    [ "$(grep -c '^left out: ' out)" -eq 1 ] || fail "what was left out is told more than once"

    # Where the state of training does not fit, predictions are measured; where no model does, nothing.
    few="bench --model simple --data $data --batches 1 --train-batches 2 --seconds 0.01"
    export SIM_MEMORY=16
    # shellcheck disable=SC2086
    call 0 $few
    grep -q '^left out: training, batch 2: .*optimiser state' out || fail "training is not told to be left out"
    grep -q '^ *1  fp16 ' out || fail "predictions were not measured"
    export SIM_MEMORY=8
    # shellcheck disable=SC2086
    call 1 $few
    unset SIM_MEMORY
    err_has "of GPU memory are needed, but 8 of 8 MiB are free"
}

# What trained networks are put to: the GPU's answers are the processor's but for a close call, and
# every command comes to its end.
test_results() {
    photos=${data%/*}/photos
    call 0 train --model simple --data "$data" --epochs 1 --epoch-images 96 --batch 32 \
        --train-eval 64 --tensorboard --out run
    for backend in cuda cpu; do
        call 0 predict run "$photos" --backend $backend --format csv
        sed 1d out | cut -d, -f1,2 >"labels-$backend"
    done
    pictures=$(sed 1d "$photos/labels.csv" | wc -l)
    [ "$(wc -l <labels-cuda)" -eq "$pictures" ] || fail "$(wc -l <labels-cuda) of $pictures labels"
    differ=$(diff labels-cuda labels-cpu | grep -c '^<' || true)
    [ "$differ" -le 1 ] || fail "$differ labels differ: $(diff labels-cuda labels-cpu)"

    call 0 report run --backend cuda -o report
    [ -s report/report.html ] && [ -s report/confusion-simple.svg ] || fail "no report"
    call 0 label run "$photos" --precision 0.5 --backend cuda -o labelled
    [ "$(cat labelled/auto.csv labelled/review.csv | wc -l)" -eq $((pictures + 2)) ] ||
        fail "pictures are missing in auto.csv and review.csv"
    call 3 drift run "$photos" --backend cuda
    err_lacks error
    call 0 audit run --folds 2 --backend cuda -o audit
    [ -s audit/audit.html ] || fail "no page of the audit"
}

"test_$case"
