#!/bin/sh
# `fmnist export` and `fmnist inspect`: which files there are, what is in them as inspect reads it, and what
# is refused. That other programs can run the files is tested with these programs (references.cmake).
#
#   export.sh FMNIST DATA
set -eu

fmnist=$1
data=$2
tests=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

. "$tests/calls.sh"
# says FILE TEXT: this very text.
says() { grep -qF -- "$2" "$1" || fail "$1 does not say '$2'"; }

export OMP_WAIT_POLICY=passive
call 0 train --model simple --data "$data" --epochs 1 --precision fp32 --dropout 0.125 --out run --quiet
accuracy=$(sed -n '/"test": {/,$s/.*"accuracy": *\([0-9.]*\).*/\1/p' run/result.json | head -n 1)

# ---- ONNX, twice the same bytes, as inspect reads it
call 0 export run
says out "run/export/model.onnx ("
cp run/export/model.onnx first.onnx
call 1 export run
says err "--force"
call 0 export run --force
cmp first.onnx run/export/model.onnx || fail "two exports of a run differ"
call 0 inspect run/export/model.onnx
says out "ONNX"
says out "images U8 [N, 28, 28]"
says out "probabilities F32 [N, 10], logits F32 [N, 10]"
says out "all tensors of fmnist's simple with 10 classes"
call 0 inspect run/export/model.onnx --format json
says out "\"test_accuracy\": \"$accuracy\""
call 0 inspect run/export/model.onnx --format csv
says out "conv2.weight,F32,\"[64,32,3,3]\",18432,73728"

# ---- safetensors with its module, Keras
call 0 export run --format safetensors --out torch
cmp run/model.safetensors torch/model.safetensors || fail "the weights are others"
says torch/model.py "torch.nn"
says torch/model.py "self.drop1 = nn.Dropout(0.125)" # as it was trained, not the model's own
says torch/model.py "self.drop2 = nn.Dropout(0.125)"
call 0 export run --format h5 --out keras
call 0 inspect keras/model.h5
says out "HDF5"
says out "keras_version"

# ---- from the weights file alone, and as a model of Triton's
call 0 export torch/model.safetensors --triton models --out alone
cmp models/simple/1/model.onnx alone/model.onnx || fail "the server's model is another"
says models/simple/config.pbtxt "max_batch_size"
says models/simple/labels.txt "Ankle boot"
call 1 export run --triton models
says err "models/simple"

# ---- what must be known of the network: what taught it, that it has seen all images
call 0 export run --out told
says err "simple, test accuracy "
! grep -qE 'taught|--full' err || fail "a run that nothing taught is said to be taught"
call 0 train --model simple --data "$data" --epochs 1 --epoch-images 128 --precision fp32 --full \
    --teacher run --out full --quiet
call 0 export full
says err " %; taught by simple, 0.9 of the targets; trained on all training images (--full)"

# ---- what a file alone says that it was trained on goes with it, and no more
call 0 inspect alone/model.onnx --format json
says out '"trained_on": "split"'
call 0 inspect told/model.onnx --format json
says out '"trained_on": "split"'
LC_ALL=C sed 's/"trained_on"/"trained_xx"/' run/model.safetensors >unknown.safetensors
call 0 export unknown.safetensors --out untold
call 0 inspect untold/model.onnx --format json
! grep -q '"trained_on"' out || fail "what a file does not say is told"

# ---- what the weights file says of itself
call 0 inspect run/model.safetensors
says out "1,199,882"
says out "all tensors of fmnist's simple with 10 classes"
says out "input_deviation"
call 0 inspect run/model.safetensors --format json
says out '"model": "simple"'
says out '"fits": true'
"$fmnist" inspect run/model.safetensors --format markdown | grep -q '^| conv1.weight | F32 |' ||
    fail "no Markdown table of the tensors"

# ---- what is none of it
call 1 inspect run/config.json
says err "neither safetensors nor HDF5 nor ONNX"
call 2 inspect run
says err "model.safetensors"
call 1 inspect nowhere
head -c 1000 first.onnx >short.onnx
call 1 inspect short.onnx
says err "short.onnx"
mkdir empty
call 1 export empty
call 1 export first.onnx
says err "first.onnx"
call 2 export run --format tflite
