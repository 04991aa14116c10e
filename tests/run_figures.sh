# Sourced by the tests that compare runs, after calls.sh.
# shellcheck shell=sh

# The figures of a result that no clock, no measure of memory and no place is in.
figures() {
    sed -e '/^  "environment": {/,/^  }/d' -e '/^  "latency": {/,/^  }/d' \
        -e '/^  "\(seconds\|total_seconds\|waited\|images_per_second\|peak_memory\|device_memory\|device_memory_free\|finished\)":/d' \
        -e '/^        "run":/d' -e '/^    "\(load_seconds\|directory\|weights\|feature_seconds\|features_computed\)":/d' "$1/result.json"
}

# same RUN OTHER: finished, and the same bits; nothing half written stays.
same() {
    for file in model.safetensors last.safetensors log.jsonl; do
        cmp -s "$1/$file" "$2/$file" || fail "$1/$file differs from that of $2"
    done
    figures "$1" >figures-1
    figures "$2" >figures-2
    cmp -s figures-1 figures-2 || fail "$1/result.json: $(diff figures-1 figures-2)"
    [ -z "$(find "$1" -name '*.tmp*')" ] || fail "half written files stay: $(ls "$1")"
}
