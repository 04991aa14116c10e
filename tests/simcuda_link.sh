#!/bin/sh
# simcuda_link.sh COMPILER LIBRARY -Iinclude...
#
# What is not simulated is missed when a program is linked, and not when it runs.
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT

# Whether a program that calls $1 links.
links() {
    call=$1
    shift
    printf '#include <cuda_runtime_api.h>\nint main(void)\n{\n    return (int)%s;\n}\n' "$call" \
        >"$folder/program.c"
    "$compiler" "$@" "$folder/program.c" "$library" -o "$folder/program" 2>"$folder/said"
}

compiler=$1
library=$2
shift 2
links 'cudaDeviceSynchronize()' "$@" || {
    echo "FAILED: what is simulated does not link:"
    cat "$folder/said"
    exit 1
}
for call in 'cudaMallocManaged(0, 0, 0)' 'cudaGraphAddEmptyNode(0, 0, 0, 0)' \
    'cudaLaunchKernelExC(0, 0, 0)' 'cudaDeviceReset()'; do
    if links "$call" "$@" || ! grep -q "undefined reference to .${call%%(*}" "$folder/said"; then
        echo "FAILED: $call links, or does not for another reason:"
        cat "$folder/said"
        exit 1
    fi
done
