#!/bin/sh
# Every graph of the models has an engine on a GPU that is only described
# (tests/cudnn/model_graphs.c).
#
#     cudnn_model_graphs.sh PROGRAM SET DEVICE.json FOLDER-OF-NODEV
#
# SET undriven: where the library finds no driver, the program must fail, as half of the engines are
# left out.
set -eu
program=$1
set=$2
device=$3
nodev=$4
if [ -z "$program" ]; then
    echo "SKIP: the CUDA backend is not built"
    exit 77
fi
if [ "$set" != undriven ]; then
    LD_LIBRARY_PATH=$nodev${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$program" "$set" "$device"
fi

if PATH=$PATH:/sbin:/usr/sbin ldconfig -p | grep -q 'libcuda\.so\.1'; then
    echo "SKIP: this machine has a driver"
    exit 77
fi
said=$("$program" quick "$device" 2>&1) && status=0 || status=$?
if [ "$status" -ne 1 ] || ! echo "$said" | grep -q 'names no runtime-compiled engine at all'; then
    echo "without a driver it ended with $status:"
    echo "$said"
    exit 1
fi
