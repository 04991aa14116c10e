#!/bin/sh
# simcuda_sanitizers.sh address|thread PROGRAM
#
# Runs simcuda_planted, built with that sanitizer, on right kernels, of which nothing may be reported,
# and on each planted bug, whose report must name the kind of bug and the kernels' source.
sanitizer=$1
program=$2
failed=0

# What the program says of a case; its status in $status.
run() {
    said=$("$program" "$1" 2>&1)
    status=$?
}

expect_silence() {
    run "$1"
    if [ $status -ne 0 ]; then
        echo "FAILED: $1${SIM_TSAN_GRID:+ (between blocks)}: status $status: $said"
        failed=1
    fi
}

expect_report() {
    run "$1"
    if [ $status -eq 0 ] || ! echo "$said" | grep -q "$2" ||
        ! echo "$said" | grep -q 'simcuda_kernels\.cu'; then
        echo "FAILED: $1${SIM_TSAN_GRID:+ (between blocks)}: no '$2', status $status: $said"
        failed=1
    fi
}

case $sanitizer in
address)
    expect_silence right
    expect_report beyond-static 'index 64 out of bounds'
    expect_report beyond-dynamic 'AddressSanitizer: use-after-poison'
    expect_report beyond-global 'AddressSanitizer: use-after-poison'
    expect_report before-global 'AddressSanitizer: use-after-poison'
    expect_report misaligned 'misaligned address'
    ;;
thread)
    expect_silence right
    expect_report sum 'ThreadSanitizer: data race'
    expect_report rotate 'ThreadSanitizer: data race'
    expect_report count 'ThreadSanitizer: data race'
    expect_silence blocks-race # blocks come one after another here
    export SIM_TSAN_GRID=1
    expect_silence right
    expect_report blocks-race 'ThreadSanitizer: data race'
    expect_report count 'ThreadSanitizer: data race'
    ;;
*)
    echo "usage: simcuda_sanitizers.sh address|thread PROGRAM" >&2
    exit 2
    ;;
esac
exit $failed
