#!/bin/sh
# `fmnist export` and `fmnist inspect`: which files there are, what is in them as inspect reads it, and what
# is refused. That other programs can run the files is tested with these programs (references.cmake).
#
#   export.sh FMNIST DATA
set -eu

fmnist=$1
data=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# expect STATUS COMMAND...: output in `out`, messages in `err`.
expect() {
    wanted=$1
    shift
    status=0
    "$@" >out 2>err || status=$?
    [ $status -eq "$wanted" ] || {
        cat out err >&2
        fail "exit status $status, expected $wanted: $*"
    }
}
has() { # FILE TEXT
    grep -qF -- "$2" "$1" || {
        cat "$1" >&2
        fail "$1 does not say: $2"
    }
}

export OMP_WAIT_POLICY=passive
expect 0 "$fmnist" train --model simple --data "$data" --epochs 1 --precision fp32 --out run --quiet
accuracy=$(sed -n '/"test": {/,$s/.*"accuracy": *\([0-9.]*\).*/\1/p' run/result.json | head -n 1)

# ---- ONNX, twice the same bytes, as inspect reads it
expect 0 "$fmnist" export run
has out "run/export/model.onnx ("
cp run/export/model.onnx first.onnx
expect 1 "$fmnist" export run
has err "--force"
expect 0 "$fmnist" export run --force
cmp first.onnx run/export/model.onnx || fail "two exports of a run differ"
expect 0 "$fmnist" inspect run/export/model.onnx
has out "ONNX"
has out "images U8 [N, 28, 28]"
has out "probabilities F32 [N, 10], logits F32 [N, 10]"
has out "all tensors of fmnist's simple with 10 classes"
expect 0 "$fmnist" inspect run/export/model.onnx --format json
has out "\"test_accuracy\": \"$accuracy\""
expect 0 "$fmnist" inspect run/export/model.onnx --format csv
has out "conv2.weight,F32,\"[64,32,3,3]\",18432,73728"

# ---- safetensors with its module, Keras
expect 0 "$fmnist" export run --format safetensors --out torch
cmp run/model.safetensors torch/model.safetensors || fail "the weights are others"
has torch/model.py "torch.nn"
expect 0 "$fmnist" export run --format h5 --out keras
expect 0 "$fmnist" inspect keras/model.h5
has out "HDF5"
has out "keras_version"

# ---- from the weights file alone, and as a model of Triton's
expect 0 "$fmnist" export torch/model.safetensors --triton models --out alone
cmp models/simple/1/model.onnx alone/model.onnx || fail "the server's model is another"
has models/simple/config.pbtxt "max_batch_size"
has models/simple/labels.txt "Ankle boot"
expect 1 "$fmnist" export run --triton models
has err "models/simple"

# ---- what the weights file says of itself
expect 0 "$fmnist" inspect run/model.safetensors
has out "1,199,882"
has out "all tensors of fmnist's simple with 10 classes"
has out "input_deviation"
expect 0 "$fmnist" inspect run/model.safetensors --format json
has out '"model": "simple"'
has out '"fits": true'
"$fmnist" inspect run/model.safetensors --format markdown | grep -q '^| conv1.weight | F32 |' ||
    fail "no Markdown table of the tensors"

# ---- what is none of it
expect 1 "$fmnist" inspect run/config.json
has err "neither safetensors nor HDF5 nor ONNX"
expect 2 "$fmnist" inspect run
has err "model.safetensors"
expect 1 "$fmnist" inspect nowhere
head -c 1000 first.onnx >short.onnx
expect 1 "$fmnist" inspect short.onnx
has err "short.onnx"
mkdir empty
expect 1 "$fmnist" export empty
expect 1 "$fmnist" export first.onnx
has err "first.onnx"
expect 2 "$fmnist" export run --format tflite
