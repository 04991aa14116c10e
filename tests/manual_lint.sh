#!/bin/sh
# No formatter that is here has anything to complain of the man pages.
#
#   manual_lint.sh FOLDER_OF_PAGES
set -u

pages=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
used=
failed=0

# Shows what a formatter said, if anything.
judge() { # FORMATTER PAGE
    if [ -s "$work/said" ]; then
        echo "FAILED: $1 says of $2:"
        cat "$work/said"
        failed=1
    fi
}

if command -v man >/dev/null && man --version 2>/dev/null | grep -q '^man '; then
    used="$used man"
    for page in "$pages"/*.1; do
        LC_ALL=C.UTF-8 man --warnings -P cat -l "$page" 2>"$work/said" >/dev/null
        judge man "$page"
    done
fi
if command -v groff >/dev/null; then
    used="$used groff"
    for page in "$pages"/*.1; do
        groff -man -Tutf8 -ww "$page" 2>"$work/said" >/dev/null
        judge groff "$page"
    done
fi
if command -v mandoc >/dev/null; then
    used="$used mandoc"
    for page in "$pages"/*.1; do
        # A page has no date on purpose: it would be the build's.
        mandoc -T lint "$page" 2>&1 | grep -v 'WARNING: missing date, using "": TH$' >"$work/said"
        judge mandoc "$page"
    done
fi

if [ -z "$used" ]; then
    echo "skipped: none of man (man-db), groff and mandoc is installed"
    exit 77
fi
echo "read by$used"
exit $failed
