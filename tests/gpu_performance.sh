#!/bin/sh
# docs/gpu-performance.md holds what `roofline` prints: gpu_performance.sh ROOFLINE DOCUMENT
# With --update in front it is put there.
set -eu
update=false
if [ "$1" = --update ]; then
    update=true
    shift
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$1" >"$scratch/printed"
sed '/^<!-- roofline: begin/q' "$2" >"$scratch/wanted"
cat "$scratch/printed" >>"$scratch/wanted"
sed -n '/^<!-- roofline: end/,$p' "$2" >>"$scratch/wanted"
if $update; then
    cp "$scratch/wanted" "$2"
elif ! diff "$2" "$scratch/wanted" >&2; then
    echo "$2 is not what roofline prints; to renew it: sh tests/gpu_performance.sh --update $1 $2" >&2
    exit 1
fi
