#!/bin/sh
# Each fault of planted.c must show when a file with it is run: finds.sh PROGRAM none|address
set -eu

program=$1
sanitizers=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0

# LETTER WORDS: the fault's letter, and what must be said of it.
finds() {
    printf '!%s' "$1" >"$folder/sound"
    seconds=20 # a sanitizer's report takes long where there is much to do
    [ "$1" != h ] || seconds=1
    if "$program" --seconds $seconds "$folder/sound" >"$folder/out" 2>&1; then
        echo "the fault '$1' does not show"
        failed=1
    elif ! grep -qE "$2" "$folder/out"; then
        echo "of the fault '$1' is said, not '$2':"
        cat "$folder/out"
        failed=1
    fi
}

finds s 'a reader that fails says why'
finds m 'is read in little memory|allocation-size-too-big'
finds h "$folder/sound" # killed, so that its name is all
if [ "$sanitizers" = address ]; then
    finds r 'heap-buffer-overflow'
    finds l 'LeakSanitizer'
fi

# What has no fault passes; a sound file that is refused does not, nor one that is read and is not
# said to be sound, nor no file at all.
printf '!' >"$folder/sound"
printf -- '-' >"$folder/refused"
"$program" "$folder/sound" "$folder/refused" >/dev/null || {
    echo "a file without a fault fails"
    failed=1
}
mv "$folder/refused" "$folder/harmless"
mv "$folder/sound" "$folder/other"
for file in harmless other; do
    if "$program" "$folder/$file" >/dev/null 2>&1; then
        echo "a file passes that is not what its name says: $file"
        failed=1
    fi
done
mkdir "$folder/none"
if "$program" "$folder/none" >/dev/null; then
    echo "a folder without files passes"
    failed=1
fi
exit $failed
