#!/bin/sh
# Shows that check_imports.sh finds what it looks for: one small tree that keeps the rules, then
# one broken rule at a time.
set -eu

here=$(dirname "$(readlink -f "$0")")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

fresh() {
    rm -rf "${tree:?}"/*
    mkdir -p "$tree/kernels" "$tree/include/fmnist"
    echo '#include <stdint.h>' >"$tree/include/fmnist/fmnist.h"
    for folder in base data net backend/cpu run eval train report app cli api; do
        mkdir -p "$tree/src/$folder"
    done
    echo '#include <math.h>' >"$tree/kernels/philox.h"
    printf '#include "train/train.h"\n#include "base/status.h"\n#include "philox.h"\n' >"$tree/src/train/train.c"
    echo '#include <dnnl.h>' >"$tree/src/backend/cpu/cpu.c"
    echo '#include <fmnist/fmnist.h>' >"$tree/src/main.c"
}

failures=0
must_find() { # FILE LINE
    fresh
    mkdir -p "$(dirname "$tree/$1")"
    echo "$2" >>"$tree/$1"
    if sh "$here/check_imports.sh" "$tree" >"$tree/output" || ! grep -qF "${1%/*}" "$tree/output"; then
        echo "not found: $2 in $1"
        failures=1
    fi
}

fresh
sh "$here/check_imports.sh" "$tree" || {
    echo "complains of a tree that keeps the rules"
    failures=1
}
must_find src/base/text.c '#include "data/idx.h"'
must_find src/train/loop.c '#include "report/table.h"'
must_find src/backend/cpu/model.c '#include "run/run.h"'
must_find src/report/table.c '#include "app/compare/compare.h"'
must_find src/cli/cmd_train.c '#include "other/thing.h"'
must_find src/net/zoo.c '#include "net.h"'
must_find src/net/shape.c '#include <dnnl.h>'
must_find kernels/adam.h '#include "base/status.h"'
must_find src/train/peek.c 'static struct fm_dataset *all;'
must_find src/extra/new.c 'int x;'
must_find src/cli/cmd_eval.c '#include "api/worker.h"'
must_find src/main.c '#include "cli/args.h"'
must_find src/main.c '#include <jansson.h>'
must_find include/fmnist/fmnist.h '#include <jansson.h>'
must_find include/fmnist/fmnist.h '#include "base/status.h"'
exit $failures
