#!/bin/sh
# The page of report.sh in a real browser. Skipped, with the reason, where there is none.
#
#   report_browser.sh FOLDER
set -eu

here=$(dirname "$0")
. "$here/find_browser.sh"
exec "$python" "$here/report_browser.py" "$1/hostile/t10k-images-idx3-ubyte.gz" \
    "$1/compared/report.html" "$1/other/report.html"
