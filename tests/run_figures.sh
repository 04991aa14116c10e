# Sourced by the tests that compare runs.

# The figures of a result that no clock, no measure of memory and no place is in.
figures() {
    sed -e '/^  "environment": {/,/^  }/d' -e '/^  "latency": {/,/^  }/d' \
        -e '/^  "\(seconds\|total_seconds\|waited\|images_per_second\|peak_memory\|device_memory\|device_memory_free\|finished\)":/d' \
        -e '/^    "\(load_seconds\|directory\|weights\|feature_seconds\|features_computed\)":/d' "$1/result.json"
}
