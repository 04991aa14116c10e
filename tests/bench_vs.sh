#!/bin/sh
# scripts/bench-vs: how ratios are held to goals, and that a contestant or a part that fails is told
# of and does not take the rest with it; then, where a Python with the packages is named, whole parts
# on data/tiny and a contestant of PyTorch, with a few steps. No time is held to a bound.
#
#   bench_vs.sh FMNIST [PYTHON with torch and onnxruntime; else $FMNIST_REFERENCE_PYTHON]
set -eu

fmnist=$(readlink -f "$1")
packaged=${2:-${FMNIST_REFERENCE_PYTHON-}}
root=$(dirname "$(dirname "$(readlink -f "$0")")")
command -v python3 >/dev/null || {
    echo "SKIP: python3 is missing"
    exit 77
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export OMP_WAIT_POLICY=passive PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$root/scripts"

fail() {
    echo "FAILED: $*" >&2
    [ ! -f "$scratch/err" ] || tail -n 20 "$scratch/err" >&2
    exit 1
}

# bench PYTHON STATUS ARGUMENT...: what it prints goes to $scratch/out and $scratch/err.
bench() {
    python=$1
    wanted=$2
    shift 2
    status=0
    "$python" "$root/scripts/bench_vs.py" --fmnist "$fmnist" --data "$root/data/tiny" --rounds 2 \
        --seconds 0.02 --models simple "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
    [ "$status" -eq "$wanted" ] || fail "exit status $status, expected $wanted: $*"
}
out_has() { grep -qE -- "$1" "$scratch/out" || fail "the report lacks '$1': $(cat "$scratch/out")"; }

# ---- ratios, goals, turns, cut data
python3 - "$root/data/tiny" "$scratch" <<'PYTHON' || fail "bench_common.py"
import gzip, pathlib, sys
from bench_common import Comparison, Failed, Part, cut_idx, last_line, open_pytorch, take_turns

fast = Comparison("w", ("train", "simple", "fp32"), [210, 190, 200], {"a": [100], "b": [90]})
assert (fast.best, fast.ratio) == ("a", 2.0) and fast.row(False)[-2:] == ("at least 2", "met")
slow = Comparison("w", ("train", "simple", "fp32"), [199], {"a": [100]})
assert slow.row(True)[-1] == "not met", slow.row(True)
time = Comparison("w", ("infer", "simple", 1), [50], {"a": [130], "b": [100]}, less=True)
assert (time.best, time.ratio) == ("b", 2.0) and time.row(False)[-1] == "met"
for part, size, verdict in (("memory", 25, "met"), ("memory", 26, "not met")):
    share = Comparison("w", (part, "deeper", "fp32"), [size], {"a": [100]}, less=True, share=True)
    assert share.ratio == size / 100 and share.row(False)[-1] == verdict, share.row(False)
    assert share.row(False)[4] == f"0.{size}0", share.row(False) # at 0.25, two digits would not tell
amx = Comparison("w", ("features", "bf16"), [1], {"a": [1]}, {"c": "failed: it | broke"})
assert (amx.row(False)[-1], amx.row(True)[-1]) == ("no AMX here", "not met")
text = Part("Title", "About.", [amx], [["After."]]).markdown(False)
assert r"| w | c | failed: it \| broke |" in text and text.endswith("After.\n"), text

assert last_line("told\nfmnist: error: why\nhint: what to do\n", 1) == "fmnist: error: why"
assert last_line("hint: what to do\n", 3) == "exit status 3"

calls = []
values = take_turns("w", {n: lambda n=n: calls.append(n) or len(calls) for n in "ab"}, 2, str)
assert calls == list("abab") and values == {"a": [1, 3], "b": [2, 4]}, (calls, values)

class Fake:
    def __init__(self, rate):
        self.rate, self.open, self.asked = rate, True, 0
    def images_per_second(self, steps):
        self.asked += 1
        return self.rate
    def close(self):
        self.open = False

made = []
def begin(layout, compiled):
    if compiled and layout == "contiguous":
        raise Failed("no compiler")
    made.append(Fake(200 if layout == "channels_last" else slower))
    return made[-1]

slower = 100

kept, absent = open_pytorch("w", begin, False)
assert list(kept) == ["eager, channels_last", "compiled, channels_last"], kept
assert list(absent) == ["eager"] and "100 in a trial" in absent["eager"], absent
assert [f.open for f in made] == [False, True, True]
assert made[0].asked == made[1].asked > 2, made[0].asked # several times, so that chance decides less
slower = 170 # too near for a trial to tell
kept, absent = open_pytorch("w", begin, False)
assert len(kept) == 3 and absent == {"compiled": "failed: no compiler"}, (kept, absent)
kept, absent = open_pytorch("w", begin, True)
assert len(kept) == 3 and absent == {"compiled": "failed: no compiler"}, (kept, absent)

tiny, cut = pathlib.Path(sys.argv[1], "t10k-images-idx3-ubyte.gz"), pathlib.Path(sys.argv[2], "cut")
cut_idx(tiny, cut, 3)
whole, part = gzip.open(tiny).read(), gzip.open(cut).read()
assert part == whole[:4] + b"\0\0\0\3" + whole[8:16 + 3 * 784], len(part)
try:
    cut_idx(tiny, cut, 401)
except Failed as error:
    assert "400 items, expected at least 401" in str(error), error
else:
    raise AssertionError("more items than there are were cut")
PYTHON

# ---- options; a part that fails
bench python3 2 --parts train,lenet
grep -q "'lenet' is none of train, infer" "$scratch/err" || fail "nothing says what parts there are"
mkdir "$scratch/without" # hides the packages of any Python
echo 'raise ImportError("hidden")' | tee "$scratch/without/numpy.py" >"$scratch/without/torch.py"
(
    PYTHONPATH=$scratch/without:$PYTHONPATH
    bench python3 1 --parts infer,memory --precision fp32 --batch 8 --out "$scratch/report.md"
)
[ "$(grep -c '^This part failed: .*ImportError: hidden' "$scratch/out")" -eq 2 ] ||
    fail "a part took the rest with it, or hides why it failed: $(cat "$scratch/out")"
cmp "$scratch/out" "$scratch/report.md" || fail "--out has another report"

# ---- with the packages
if [ -z "$packaged" ] ||
    ! "$packaged" -c 'import numpy, onnxruntime, safetensors, torch' 2>/dev/null; then
    echo "SKIP: no Python with torch and onnxruntime was named: what it measures is not tried"
    exit 0
fi
bench "$packaged" 0 --parts infer,start
out_has '^- From PyPI: ONNX Runtime [0-9.]+; Python'
out_has '^\| simple, batch 1, fp32 \| [0-9,]+ us \| .*\| at least 2 \| (not )?met \|$'
out_has '^\| simple, batch 256, fp32 \| [0-9,]+ images/s \| .*\| at least 1.05 \| (not )?met \|$'
out_has '^\| simple \| ONNX Runtime tuned, bound \| fp32 \| [0-9.,]+ \| '
out_has '^\| simple \| [0-9.]+ ms \| [0-9.,]+ ms \| ONNX Runtime.*\| at most 0.1 \| (not )?met \|$'

for precision in fp32 bf16; do
    echo '{"steps": 2}' | "$packaged" "$root/scripts/bench_pytorch.py" --model simple \
        --layout channels_last --precision $precision --batch 8 --batches 4 --threads 2 \
        --data "$root/data/tiny" >"$scratch/out" 2>"$scratch/err" || fail "bench_pytorch.py"
    python3 - "$scratch/out" <<'PYTHON' || fail "answers of bench_pytorch.py: $(cat "$scratch/out")"
import json, sys
about, answer = map(json.loads, open(sys.argv[1]))
assert about["parameters"] == 1199882 and about["torch"], about
assert answer["images"] == 16 and answer["seconds"] > 0 and answer["peak_memory"] > 2**26, answer
PYTHON
done
