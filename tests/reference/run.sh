#!/bin/sh
# Runs a script of this folder by the Python that FMNIST_REFERENCE_PYTHON names, or skips (77) where
# there is none with all the packages.
#
#   run.sh "PACKAGE..." SCRIPT ARGUMENT...
set -eu

packages=$1
script=$(dirname "$0")/$2
shift 2

skip() {
    echo "skipped: needs the reference packages$1: scripts/test --references"
    exit 77
}

python=${FMNIST_REFERENCE_PYTHON-}
[ -n "$python" ] || skip ""
for package in $packages; do
    "$python" -c "
import importlib.util, sys
sys.exit(importlib.util.find_spec('$package') is None)" || skip ", and $python has no $package"
done
exec "$python" -B "$script" "$@"
