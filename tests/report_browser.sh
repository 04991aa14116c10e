#!/bin/sh
# The page of report.sh in a real browser. Skipped, with the reason, where there is none.
#
#   report_browser.sh FOLDER
set -eu

here=$(dirname "$0")
for python in python3 /usr/bin/python3; do
    if "$python" -c 'import selenium' 2>/dev/null; then
        break
    fi
    python=
done
for need in chromium chromedriver; do
    command -v "$need" >/dev/null || {
        echo "SKIPPED: no $need (Debian: chromium, chromium-driver)"
        exit 77
    }
done
[ -n "$python" ] || {
    echo "SKIPPED: no Python with selenium (Debian: python3-selenium)"
    exit 77
}
exec "$python" "$here/report_browser.py" "$1/hostile/t10k-images-idx3-ubyte.gz" \
    "$1/compared/report.html" "$1/other/report.html"
