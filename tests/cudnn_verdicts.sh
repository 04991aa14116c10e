#!/bin/sh
# The simulated cuDNN and NVIDIA's must agree on which graphs have an engine on a device that is
# only described, and of which kind.
#
#     cudnn_verdicts.sh SIMULATED REAL DEVICE.json FOLDER-OF-NODEV [GRAPH]
set -eu
simulated=$1
real=$2
device=$3
nodev=$4
graph=${5:-}
if [ -z "$real" ]; then
    echo "SKIP: the library cuDNN was not found"
    exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

LD_LIBRARY_PATH=$nodev${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} \
    "$real" "$device" "$graph" > "$folder/real"
"$simulated" "$device" "$graph" > "$folder/simulated" 2> "$folder/misuses"
if ! diff "$folder/real" "$folder/simulated" > "$folder/differences"; then
    echo "the real library (<) and the simulated one (>) disagree:"
    cat "$folder/differences"
    exit 1
fi
if [ -z "$graph" ] && ! grep -q ': runtime-compiled$' "$folder/real"; then
    echo "the real library has no runtime-compiled engine: it did not find $nodev/libcuda.so.1"
    exit 1
fi
echo "$(wc -l < "$folder/real") graphs on $(basename "$device" .json): the same verdicts"
