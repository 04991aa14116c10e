#!/bin/sh
# What a network costs, as a user asks for it: every figure is there, finite and in order, the forms of
# output agree, and what cannot be measured says why. No time is held to a bound.
#
#   bench.sh FMNIST DATA
# shellcheck disable=SC2016 # awk's own $1
set -eu

fmnist=$1
data=$2
tests=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_WAIT_POLICY=passive

. "$tests/calls.sh"
# This very text.
err_has() { grep -qF -- "$1" err || fail "standard error lacks '$1'"; }

# value FILE PHASE BATCH SEEN_BY FIGURE: of the base, in the table of values.
value() {
    tr -d '\r' <"$1" | awk -F, -v p="$2" -v b="$3" -v s="$4" -v f="$5" \
        '$1 == "fp32" && $2 == p && $3 == b && $4 == s && $5 == f { print $7 }'
}

# Every row is whole; counts and times are positive; each group's percentiles are in order.
check_values() {
    awk -F, '
        NR == 1 { if ($0 !~ /^side,phase,batch,seen_by,figure,unit,value\r?$/) bad("heading"); next }
        { sub(/\r$/, "") }
        NF != 7 { bad("fields") }
        $7 != "" && $7 !~ /^[0-9][0-9.]*(e[-+]?[0-9]+)?$/ { bad("no number") }
        $7 == "" && $5 !~ /^(p90|p99|joules_per_1000_images|predictions|training|device)$/ { bad("empty") }
        $5 ~ /^(runs|rounds|p50|mean|least|most|images_per_second|gain|executor_memory)$/ &&
            $7 + 0 <= 0 { bad("not above 0") }
        { group = $1 "," $2 "," $3 "," $4 }
        $5 == "p50" { p50[group] = $7 }
        $5 == "p90" && $7 != "" { if ($7 < p50[group]) bad("p90"); p90[group] = $7 }
        $5 == "p99" && $7 != "" { if ($7 < p90[group]) bad("p99") }
        $5 == "least" { if ($7 > p50[group]) bad("least") }
        $5 == "runs" { runs[group] = $7 }
        $5 == "p99" && ($7 == "") != (runs[group] < 100) { bad("p99 of " runs[group] " runs") }
        function bad(why) { print why ": " $0; failed = 1 }
        END { exit failed || NR < 20 }' "$1" || fail "$1: a value is not what it should be"
}

# The numbers under a key of the JSON, in order, and those of the table are equal. Of p99 there may be
# none: a slow machine measures fewer than 100 calls. check_values holds that it is missing only then.
agree() {
    sed -n "s/^ *\"$1\": \\([0-9][-+0-9.e]*\\),*\$/\\1/p" "$2.json" >from-json
    tr -d '\r' <"$2.csv" | awk -F, -v f="$1" '$5 == f && $7 != "" { print $7 }' >from-csv
    [ "$(wc -l <from-json)" -eq "$(wc -l <from-csv)" ] ||
        fail "$1: $(wc -l <from-json) in the JSON, $(wc -l <from-csv) in the table"
    [ "$1" = p99 ] || [ -s from-json ] || fail "no $1 in the JSON"
    paste from-json from-csv | awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > 1e-9 * $2) exit 1 }' ||
        fail "JSON and table differ in $1"
}

# ---- a model beside others
mkdir out-folder
echo mine >out-folder/notes.txt
call 0 bench --model simple --data "$data" --precision fp32 --batches 4,1 --train-batches 8 \
    --seconds 0.05 --versus unfused,fp16,fp32 --profile -o out-folder
out_has '^simple, initial weights: fp32, 1,199,882 parameters; images: tiny;'
out_has '^measured on: .*oneDNN.*cores.*fmnist [0-9]'
out_has '^ +1  fp32 +[0-9]+ +[0-9.]+ '
out_has '^ +4  fp32\+unfused .* [0-9.]+x \([0-9.]+ to [0-9.]+\)'
out_has '^fp16: left out: .*not the speed'
out_has '^fp32: left out: it is the base itself'
out_has '^energy: not measured: backend'
out_has '^times on the device: it has no clock of its own'
out_has '^start-up: [0-9.]+ s from the start of a process .*median of [0-9]+ '
out_has '^memory at most: of the process, predicting ([1-9][0-9]* MiB|not told)'
out_has '^Profile of a prediction, batch 4: '
out_has '^conv2 +backward weights +[0-9.]+ '
err_has 'read in'
for file in bench.md bench.csv bench.json latency.png latency.svg throughput.png throughput.svg; do
    [ -s "out-folder/$file" ] || fail "$file is missing"
done
[ "$(cat out-folder/notes.txt)" = mine ] || fail "a foreign file was changed"
grep -q '^<svg\|<?xml' out-folder/latency.svg || fail "latency.svg is no picture"
grep -q '^!\[.*\](latency.png)' out-folder/bench.md || fail "bench.md shows no chart"
check_values out-folder/bench.csv
for key in runs p50 p99 mean deviation executor_memory; do agree $key out-folder/bench; done
[ "$(awk -F, '$5 == "runs" { print $1, $2, $3, $4 }' out-folder/bench.csv | tr '\n' ';')" = \
    'fp32 predictions 1 host;fp32 predictions 4 host;fp32 training 8 host;fp32+unfused predictions 1 host;fp32+unfused predictions 4 host;fp32+unfused training 8 host;' ] ||
    fail "the table has other measurements"
for key in '"format": 1' '"device_clock": false' '"tf32": false' '"processor": ' '"gain": null' \
    '"skipped": null' '"first_prediction": 0.0*[1-9]' '"flops_per_second": [1-9]'; do
    grep -q -- "$key" out-folder/bench.json || fail "bench.json lacks $key"
done
start=$(value out-folder/bench.csv start '' '' seconds)
echo "$start" | awk '$1 > 0.001 && $1 < 60 { ok = 1 } END { exit !ok }' || fail "a start of '$start' s"

# What is there is not overwritten, and that is said before anything is measured.
call 1 bench --model simple --data "$data" -o out-folder
err_has 'out-folder/bench.md is there already: --force'
[ "$(wc -l <err)" -eq 1 ] || fail "something was begun before the folder was refused"
call 0 bench --model simple --data "$data" --precision fp32 --unfused --batches 2 --train-batches 4 \
    --seconds 0.01 --versus fused --format markdown --quiet -o out-folder --force
out_has '^\| +2 \| fp32 '
[ ! -s err ] || fail "--quiet is not quiet"
grep -q '"name": "fp32+unfused"' out-folder/bench.json || fail "the base is not unfused"

# What cannot be kept is still told.
: >file
call 1 bench --model simple --data "$data" --precision fp32 --batches 1 --train-batches 4 \
    --seconds 0.01 -o file/below
out_has '^ +1  fp32 '
err_has 'file: cannot make the directory'

# ---- a run; its recipe's batch beside 256
call 0 train --model simple-ref --data "$data" --precision fp32 --epochs 1 --epoch-images 64 \
    --batch 32 --train-eval 32 --out run --quiet
call 0 bench run --data "$data" --batches 3 --seconds 0.01 --format json
for key in '"run": "run"' '"model": "simple-ref"' '"batch": 3,' '"batch": 256,' '"batch": 32,' \
    "\"training_step\": \"as the run's recipe has it\"" '"images": "tiny"'; do
    out_has "$key"
done

# ---- a run of all images says so
grep -q "\"remarks\": null" out || fail "a plain run has remarks"
call 0 train --model simple-ref --data "$data" --precision fp32 --epochs 1 --epoch-images 64 \
    --batch 32 --train-eval 32 --full --teacher run --out full --quiet
remark='taught by simple-ref, 0.9 of the targets; trained on all training images \(--full\)'
call 0 bench full --data "$data" --batches 1 --train-batches 4 --seconds 0.01 -o full-costs
out_has "^the run: $remark"
grep -qE "\"remarks\": \"$remark" full-costs/bench.json || fail "bench.json tells no remarks"
grep -qE "^- the run: $remark" full-costs/bench.md || fail "bench.md tells no remarks"

# ---- no data set is needed
export FMNIST_DATA="$work/nowhere"
call 0 bench --model simple --precision fp16 --batches 1 --train-batches 4 --seconds 0.01 --format csv
cp out values.csv
check_values values.csv
grep -q '^fp16+emulated,training,4,host,p50,s,' values.csv || fail "fp16 is not said to be emulated"
err_has 'random images and labels'
call 1 bench --model simple --data nowhere --batches 1
err_has 'nowhere'

# ---- the start alone
call 0 bench run --start --format json
for key in device network first_prediction ready; do out_has "\"$key\": [0-9]"; done
call 0 bench --model simple --start
out_has 'device opened, s'

# ---- wrong usage
call 2 bench
err_has "needs a RUN, or --model NAME"
call 2 bench run --model simple
err_has 'not both'
call 2 bench --model simple --batches 1,two
err_has "'two'"
call 2 bench --model simple --versus fp32,fp8
err_has "'fp8'"
call 2 bench run --start --versus fp32
err_has 'it has no --versus'
call 1 bench nowhere
err_has 'nowhere'
