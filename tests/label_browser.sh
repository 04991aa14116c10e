#!/bin/sh
# The reviewer's page of label.sh in a real browser, and what it saves given back to fmnist. Skipped,
# with the reason, where there is no browser.
#
#   label_browser.sh FMNIST FOLDER
set -eu

fmnist=$1
here=$(cd "$(dirname "$0")" && pwd)
cd "$2"
export OMP_WAIT_POLICY=passive
. "$here/find_browser.sh"
rm -rf downloads
mkdir downloads
"$python" "$here/label_browser.py" labelled/review.html labelled/review.csv downloads

# The names that the page was given, odd ones among them, come back with their labels.
"$fmnist" label run pictures -o again --force --precision 0.85 --quiet \
    --reviewed downloads/reviewed.csv >out
grep -q '; 0 answers are missing' out || {
    echo "FAILED: what the page saved is not complete"
    cat out
    exit 1
}
tail -n +2 downloads/reviewed.csv | tr -d '\r' | while read -r row; do
    tr -d '\r' <again/labels.csv | grep -qxF "$row,person" || {
        echo "FAILED: labels.csv lacks the answer $row"
        exit 1
    }
done
