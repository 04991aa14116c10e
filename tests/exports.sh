#!/bin/sh
# The library exports the functions of its header and nothing else.
#
#   exports.sh LIBRARY HEADER
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# "fmnist_open@@FMNIST_0", and the version FMNIST_0 itself as an absolute symbol.
nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | LC_ALL=C sort >"$work/found"
# A declaration begins with FMNIST_API and names the function before its first parenthesis.
sed -n 's/^FMNIST_API .*[ *]\([a-z_]*\)(.*/\1/p' "$2" | LC_ALL=C sort >"$work/expected"

[ "$(wc -l <"$work/expected")" -ge 9 ] || {
    echo "found only these functions in $2:"
    cat "$work/expected"
    exit 1
}
diff -u "$work/expected" "$work/found" || {
    echo "exported (+) is not what the header declares (-)"
    exit 1
}
