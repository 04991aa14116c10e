#!/bin/sh
# Builds the CPU backend's sources against oneDNN 3.x, whose C API differs from Debian's 2.6, and
# runs the backend's tests with it. Exits 77 with the reason where it cannot be fetched.
#
#   onednn3.sh KERNELS     the libfm_kernels.a that the build of Debian's oneDNN has made
set -eu

root=$(dirname "$(dirname "$(readlink -f "$0")")")
build=$root/build-onednn3
"$root/scripts/onednn3" "$root/build/onednn3"

mkdir -p "$build/Testing/Temporary"
log=$build/build.log
if ! {
    cmake --build "$root/build" --target fm_kernels && # as the sources are now
        cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DFMNIST_WERROR=ON \
            -DFMNIST_BACKEND_CUDA=OFF -DFMNIST_DNNL_ROOT="$root/build/onednn3" -DFMNIST_KERNELS="$1" &&
        cmake --build "$build" --target tool tests_backend
} >"$log" 2>&1; then
    tail -n 40 "$log"
    echo "the build against oneDNN 3.x failed (the whole log: $log)"
    exit 1
fi

"$build/fmnist" info | grep 'oneDNN 3\.' || {
    echo "the program built against oneDNN 3.x runs with another:"
    "$build/fmnist" info
    exit 1
}
# What is above the backend does not know which oneDNN there is.
ctest --test-dir "$build" -L '^backend$' -E '^(test_train_cpu|test_compare|test_compare_weights)$' \
    --output-on-failure --no-tests=error -j "$(nproc)"
