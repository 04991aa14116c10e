#!/bin/sh
# Shadow mode: what the simulated cuDNN does, NVIDIA's own library must agree to.
#
#     cudnn_shadow.sh PROGRAM FOLDER-OF-DEVICES
#
# PROGRAM builds and executes a few graphs of a training step, and ends with status 0 if all of them
# had an engine.
set -eu
program=$1
devices=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail()
{
    echo "$1"
    cat "$folder/said"
    exit 1
}

# Where both agree: numbers, and plans of the real library.
SIM_DEVICE=h100 SIM_SHADOW=1 "$program" > "$folder/said" 2>&1 || fail "refused on h100"
grep -q 'plans made by the real cuDNN too, [1-9][0-9]* runtime-compiled' "$folder/said" ||
    fail "no runtime-compiled plan was made"

# The simulator poses as an H100, the shadow is a T4's: the real library must say no to batch norm,
# and that must be a misuse.
if SIM_DEVICE=h100 SIM_SHADOW=$devices/t4.json "$program" > "$folder/said" 2>&1; then
    fail "batch norm on a T4 was not refused"
fi
grep -q 'MISUSE: .*the real cuDNN ' "$folder/said" || fail "not refused by the real library"

# Without a driver the real library knows no runtime-compiled engine: then nothing it says counts.
if [ -n "$(ldconfig -p 2> /dev/null | grep 'libcuda\.so\.1 ')" ]; then
    echo "this machine has a driver: not tried without one"
    exit 0
fi
if SIM_NODEV=none SIM_SHADOW=1 "$program" > "$folder/said" 2>&1; then
    fail "the missing driver went unnoticed"
fi
grep -q 'no runtime-compiled engine' "$folder/said" || fail "failed, but not for the driver"
