#!/bin/sh
# The commands of README.md's "From photographs to labels", as they stand there: from a folder of
# photographs to labels that people have looked at.
#
#   readme.sh FMNIST ROOT
#
# A person's part is played by the key of data/photos. Trains on Fashion-MNIST, half a minute on two
# cores; where the data set is not installed the test is skipped.
set -eu

fmnist=$(readlink -f "$1")
root=$(readlink -f "$2")
work=$(mktemp -d "${TMPDIR:-/tmp}/fmnist-readme-XXXXXX")
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

cd "$work"
mkdir bin
ln -s "$fmnist" bin/fmnist
ln -s "$root/data" data
PATH=$work/bin:$PATH
if [ ! -d /usr/share/datasets/fashion-mnist ]; then
    echo "SKIP: Fashion-MNIST is not installed (Debian's package dataset-fashion-mnist)"
    exit 77
fi

# The first block of commands of the section.
awk '/^## From photographs to labels$/ { inside = 1; next }
     /^## / { inside = 0 }
     inside && /^    fmnist / { print substr($0, 5); found = 1; next }
     found && NF { exit }' "$root/README.md" >commands
count=$(wc -l <commands)
[ "$count" -eq 4 ] || fail "found $count commands in the README's section, expected 4"

# answers FILE: what a person says to each picture of review.csv, by the key.
answers() {
    echo "name,label" >"$1"
    tr -d '\r' <labelled/review.csv | sed 1d | cut -d, -f1 | while IFS= read -r name; do
        label=$(grep "^$(basename "$name")," data/photos/labels.csv | cut -d, -f2)
        [ -n "$label" ] || fail "no label for '$name' in data/photos/labels.csv"
        echo "$name,$label" >>"$1"
    done
}

while IFS= read -r command; do
    case "$command" in
    *--reviewed*) answers reviewed.csv ;;
    esac
    echo "\$ $command"
    sh -c "$command" || fail "exit status $? of: $command"
done <commands

seen=$(find seen -name '*.png' | wc -l)
pictures=$(sed 1d data/photos/labels.csv | wc -l)
[ "$seen" -eq "$pictures" ] || fail "$seen pictures in seen/, expected $pictures"

tr -d '\r' <labelled/labels.csv | sed 1d >labels
[ "$(wc -l <labels)" -eq "$pictures" ] ||
    fail "$(wc -l <labels) labels in labels.csv, expected $pictures"
[ -s labelled/review.html ] || fail "no review.html"
right=0
while IFS=, read -r name label by; do
    key=$(grep "^$(basename "$name")," data/photos/labels.csv | cut -d, -f2)
    if [ "$label" = "$key" ]; then
        right=$((right + 1))
    elif [ "$by" = person ]; then
        fail "$name: a person said $key, labels.csv says $label"
    fi
done <labels
# 95 % are promised; of 30 pictures 4 wrong ones are rarer than one in 50 then.
echo "$right of $pictures labels are right, $(grep -c ',person$' labels) of them by a person"
[ "$right" -ge $((pictures - 4)) ] || fail "only $right of $pictures labels are right"
