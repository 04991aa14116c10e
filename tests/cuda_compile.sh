#!/bin/sh
# Checks what nvcc said of each kernel: compiled for every architecture, nothing spilled, nothing in local
# memory. That it compiles without a warning is checked by the build, which makes them errors.
#
#   cuda_compile.sh KERNELS-FOLDER OBJECTS-FOLDER ARCHITECTURE...    (75, 80, ...)
set -eu

kernels=$1
objects=$2
shift 2
broken=0
compiled=0

for kernel in "$kernels"/*.cu; do
    name=$(basename "$kernel")
    said=$objects/$name.o.ptxas
    if [ ! -s "$said" ]; then
        echo "$name: nvcc's words are missing: $said"
        broken=1
        continue
    fi
    for architecture; do
        architecture=${architecture%-real}
        if ! grep -q "Compiling entry function.*for 'sm_$architecture'" "$said"; then
            echo "$name: not compiled for compute capability $architecture"
            broken=1
        fi
    done
    bad=$(awk '/Compiling entry function/ { function_name = $6 " " $8 }
        /bytes stack frame/ && ($1 != 0 || $5 != 0 || $9 != 0) { print function_name ": " $0 }' "$said")
    if [ -n "$bad" ] || grep -qi warning "$said"; then
        echo "$name: registers spill, memory of a thread's own is used, or there is a warning:"
        echo "$bad"
        grep -i warning "$said" || :
        broken=1
    fi
    compiled=$((compiled + $(grep -c 'Compiling entry function' "$said")))
done
echo "$compiled kernels, of all types and architectures, looked at"
[ "$compiled" -gt 0 ] && exit $broken
exit 1
