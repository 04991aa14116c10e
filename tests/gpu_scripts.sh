#!/bin/sh
# scripts/gpu-bundle and scripts/gpu-acceptance as far as they go without a GPU: a bundle without
# CUDA is packed from a build folder, unpacked, and accepted on the CPU with a few steps on data/tiny.
# What they write is checked; so is that no failure stays hidden.
#
#   gpu_scripts.sh BUILD [PYTHON with PyTorch]
set -eu

build=$1
torch=${2:-$(command -v python3 || true)}
root=$(dirname "$(dirname "$(readlink -f "$0")")")
command -v python3 >/dev/null || {
    echo "SKIP: python3 is missing"
    exit 77
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export OMP_WAIT_POLICY=passive PYTHONDONTWRITEBYTECODE=1

fail() {
    echo "FAILED: $*" >&2
    [ ! -f "$scratch/log" ] || tail -n 20 "$scratch/log" >&2
    exit 1
}

# Runs a command and checks its exit status; what it prints goes to $scratch/log.
expect() {
    wanted=$1
    shift
    status=0
    "$@" >"$scratch/log" 2>&1 </dev/null || status=$?
    [ "$status" -eq "$wanted" ] || fail "exit status $status, expected $wanted: $*"
}

says() {
    grep -q -- "$1" "$scratch/log" || fail "nothing says '$1'"
}

# ---- the bundle
bundle() {
    "$root/scripts/gpu-bundle" --no-build --build "$build" --cpu-only --data tiny --preset 0 \
        --out "$scratch/bundle.tar.xz" "$@"
}
expect 1 bundle --most 1000000
says 'MiB, expected at most 0.95'
[ ! -e "$scratch/bundle.tar.xz" ] || fail "a bundle that is too large was left"
expect 0 bundle
python3 -m tarfile -e "$scratch/bundle.tar.xz" "$scratch"
there=$scratch/fmnist-gpu
(cd "$there" && python3 - <<'PYTHON') || fail "the manifest"
import hashlib, json, pathlib
manifest = json.load(open("manifest.json"))
assert manifest["version"] and "lib/fmnist/fmnist-cpu.so" in manifest["files"], manifest
assert not any("libcuda" in f or "libc.so" in f or "libcudnn" in f for f in manifest["files"])
for file, digest in manifest["files"].items():
    assert hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest() == digest, file
PYTHON

# ---- NVIDIA's libraries: found, of another major version, missing
(cd "$there/scripts" && python3 - "$scratch" <<'PYTHON') || fail "gpu_libraries.py"
import pathlib, sys
import gpu_libraries
place = pathlib.Path(sys.argv[1], "cuda")
place.mkdir()
for file in ("libcudart.so.13", "libcublasLt.so.13", "libcudnn.so.8"):
    (place / file).touch()

def missing():
    try:
        gpu_libraries.find([str(place)])
    except gpu_libraries.Missing as error:
        return str(error)
    return "nothing"

assert missing().startswith(f"libcudnn.so.9 was not found, only libcudnn.so.8 in {place}"), missing()
(place / "libcudnn.so.9").touch()
assert missing().startswith("libcuda.so.1 was not found: there is no NVIDIA driver"), missing()
(place / "libcuda.so.1").touch()
assert gpu_libraries.library_path(gpu_libraries.find([str(place)])) == str(place)
PYTHON

# ---- whose a report of compute-sanitizer is: by the names of the project's kernels
(cd "$there/scripts" && python3 - "$build" <<'PYTHON') || fail "gpu_sanitizer.py"
import json, pathlib, re, sys
import gpu_sanitizer
kernels = set(json.load(open("../manifest.json"))["kernels"])
assert {"relu_forward", "bias_partials", "input", "norm_apply", "decide"} <= kernels, kernels
compiled = set()
for said in pathlib.Path(sys.argv[1], "kernels/CMakeFiles/fm_cuda_kernels.dir").glob("*.ptxas"):
    compiled.update(re.findall(r"Compiling entry function '(\w+)'", said.read_text()))
assert not compiled or {gpu_sanitizer.name_of(name) for name in compiled} == kernels, compiled

OURS = "void (anonymous namespace)::relu_forward<__half>(const T1 *, T1 *, unsigned long)"
at = ["Invalid __global__ read of size 4 bytes", "at %s", "by thread (0,0,0) in block (1,0,0)",
      "Access at 0x7f12 is out of bounds", "Host Frame: cudnnBackendExecute in libcudnn.so.9"]
race = ["Error: Race reported between Write access at %s", "and Read access at %s [64 hazards]"]
leak = ["Leaked 64 bytes at 0x7f12", "Host Frame: cudaMalloc in /usr/lib/libcudart.so.13"]
ours = [
    [line.replace("%s", name) for line in report] for report in (at, race) for name in (
        OURS, OURS + "+0x140", OURS + "+0x140 in relu.cu:24", "0x140 in relu.cu:24:" + OURS,
        "0x140 in " + OURS, "<unnamed>::decide(fm_cuda_state *, int, float, float)+0x40", "decide+0x40",
        "_ZN39_GLOBAL__N__d854ae70_7_relu_cu_5c8e601313relu_backwardI6__halfEEvPKT_S4_PS2_mf+0x40")
] + [
    ["Uninitialized __global__ memory read of size 4 bytes", "at __internal_divide+0x10",
     "Device Frame: " + OURS + "+0x140"],
    [*leak, "Host Frame: fm_cuda_memory_take in /opt/fmnist/fmnist-cuda.so"], leak[:1],
    ["Host API memory access error at host access to 0x7f12 of size 64 bytes"]]
theirs = [
    [line.replace("%s", name) for line in report] for report in (at, race) for name in (
        "void nhwc_batch_norm_fwd<__half, float, 512>(nhwc_params)+0x140", "nhwc_batch_norm_bwd+0x40",
        "0x140 in nhwc_batch_norm_bwd(relu_forward *)", "sm90_xmma_wgrad_implicit_gemm_f16+0x40",
        "void cudnn::ops::transpose<__half>(int)+0x40", "_ZN5cudnn3ops6updateIfEEvPf+0x40",
        "void launch<(anonymous namespace)::relu_forward>(float)+0x40", "<unknown>+0x40")
] + [[*leak, "Host Frame: cublasLtCreate in libcublasLt.so.13"]]
for report in ours + theirs:
    assert gpu_sanitizer.is_nvidias(report, kernels) == (report in theirs), report

source = pathlib.Path("strange.cu")
source.write_text("// __global__ void not_one(\n__global__ NAMED(strange)(int count)\n")
try:
    gpu_sanitizer.kernels_of([source])
    sys.exit("a kernel that cannot be told is left out")
except ValueError:
    source.unlink()
PYTHON

# ---- the acceptance. In place of compute-sanitizer, which needs a GPU: what takes its arguments and
# prints its last line. PLANTED is how much it finds, in KERNEL.
cat >"$scratch/sanitizer" <<'SH'
#!/bin/sh
tool=$2
while [ "${1%/bin/fmnist}" = "$1" ]; do shift; done
"$@" || exit
found=${PLANTED-0}
for _ in $(seq "$found"); do
    printf '========= Uninitialized __global__ memory read of size 4 bytes\n'
    printf '=========     at %s+0x140\n=========     by thread (0,0,0) in block (1,0,0)\n' "$KERNEL"
    printf '=========     Host Frame: cublasLtMatmul in libcublasLt.so.13\n========= \n'
done
if [ "$tool" = racecheck ]; then
    echo "========= RACECHECK SUMMARY: $found hazards displayed ($found errors, 0 warnings)"
else
    echo "========= ERROR SUMMARY: $found errors"
fi
[ "$found" -eq 0 ] || exit 99
SH
chmod +x "$scratch/sanitizer"
accept() {
    "$there/scripts/gpu-acceptance" --backend cpu --quick --no-compile --out "$scratch/out" \
        --sanitizer "$scratch/sanitizer" --python "$torch" "$@"
}
expect 0 accept --stage all --pack "$scratch/out.tar.gz"
grep '^gpu-acceptance: .*SKIP: ' "$scratch/log" || true
says '^| sanitizer | passed | '
(cd "$scratch/out" && python3 - <<'PYTHON') || fail "the JSON of the acceptance"
import json
stages = {name: json.load(open(name + ".json"))
          for name in ("tests", "sanitizer", "parity", "train", "bench", "costs", "pytorch")}
for name, stage in stages.items():
    assert stage["stage"] == name and stage["backend"] == "cpu" and stage["quick"], stage
    assert stage["device"]["backend"] == "cpu" and stage["bundle"]["version"], stage
    assert all(check["pass"] for check in stage["checks"]), stage["checks"]
    assert stage["commands"] and all(c["command"] for c in stage["commands"]), stage["commands"]
    if name == "pytorch" and stage["skipped"]:
        assert stage["status"] == "skipped" and "no PyTorch" in stage["skipped"], stage
    else:
        assert stage["status"] == "passed" and stage["checks"], stage
        assert all(table["rows"] for table in stage["tables"]), stage["tables"]
parity = stages["parity"]["tables"][0]
assert 0 < parity["rows"][0][2] < 1e-3, parity  # fused beside unfused: close, and not the same run
assert all(row[3] > 0 for row in stages["bench"]["tables"][2]["rows"])
costs = stages["costs"]["tables"][0]["rows"]
assert costs[0][0] == "simple" and costs[0][2] > 0 and costs[0][8] > 0, costs
assert any("unfused" in row[1] and row[11] > 0 for row in costs[1:]), costs
assert all(row[1] > 0 for row in stages["costs"]["tables"][1]["rows"]), stages["costs"]["tables"]
text = open("acceptance.md").read()
for words in ("| parity | passed |", "### Distance from the CPU", "Profile of a step of simple"):
    assert words in text, words
PYTHON

# ---- all results in one file, but for the weights; a second call runs nothing again
(cd "$scratch" && python3 - <<'PYTHON') || fail "what was packed"
import tarfile
names = tarfile.open("out.tar.gz").getnames()
assert "out/acceptance.md" in names and "out/bench.json" in names, names
assert "out/runs/simple-best-auto-quick/result.json" in names, names
assert not any(name.endswith(".safetensors") for name in names), names
PYTHON
kept() {
    (cd "$scratch/out" && python3 - "$@" <<'PYTHON') || fail "$*"
import json, sys
stage, wanted = sys.argv[1:]
commands = json.load(open(stage + ".json"))["commands"]
assert commands and {command["kept"] for command in commands} == {wanted == "kept"}, commands
PYTHON
}
cp "$scratch/out/train.json" "$scratch/before.json"
expect 0 accept --stage train
kept train kept
(cd "$scratch" && python3 - <<'PYTHON') || fail "what was kept tells something else"
import json
before, after = (json.load(open(name)) for name in ("before.json", "out/train.json"))
assert before["tables"] == after["tables"] and before["checks"] == after["checks"], (before, after)
PYTHON
expect 0 accept --stage bench --again
kept bench anew
# A command that runs past its time ends with all that it began, and what it said is told.
printf '#!/bin/sh\necho well; sleep 1000 & echo $! >"%s/sleeper"; wait\n' "$scratch" >"$scratch/waits"
chmod +x "$scratch/waits"
sleeps() { # one that has ended may wait for somebody to ask how
    grep -q '^State:[[:space:]]*[RSD]' "/proc/$(cat "$scratch/sleeper")/status" 2>/dev/null
}
for how in late interrupted; do
    (cd "$there/scripts" && python3 - "$scratch/waits" $how <<'PYTHON') || fail "a command without end, $how"
import os, signal, sys
import gpu_stage
command, how = sys.argv[1:]
if how == "late":
    done = gpu_stage.run_for([command], 1, dict(os.environ), None)
    assert done.status is None and done.says() == "stopped after 1 s; it said last: well", done.says()
    sys.exit(0)
signal.signal(signal.SIGALRM, lambda *_: sys.exit(5))
signal.alarm(1)
try:
    gpu_stage.run_for([command], 600, dict(os.environ), None)
except SystemExit as ended:
    sys.exit(ended.code != 5)
sys.exit("it was not interrupted")
PYTHON
    for _ in 1 2 3 4 5; do
        sleeps && sleep 0.2 || break
    done
    ! sleeps || fail "what a stopped command began goes on"
done

# ---- what takes longer than its time: a reference is left out, what gets further in each call
# waits twice, a training goes on where it ended
cat >"$scratch/calls.py" <<'PYTHON'
import json, pathlib, sys, types
import gpu_stage, gpu_stages
bundle, scratch = pathlib.Path("..").resolve(), pathlib.Path(sys.argv[1])
manifest = json.load(open("../manifest.json"))
environment = dict(gpu_stage.os.environ, LD_LIBRARY_PATH=str(bundle / "lib"))
out = scratch / "slow"
options = types.SimpleNamespace(
    out=out, bundle=bundle, plans=out / "plans", data=bundle / "data/tiny", environment=environment,
    command="slow", backend="cpu", quick=True, gpu=None, device={"precisions": ["fp32"]},
    models=["simple"], precision=None, compile=False, python=str(scratch / "slow-python"))
out.mkdir(exist_ok=True)

class Stage(gpu_stage.Stage):
    """One whose commands of some kind get very little time."""
    hurried = "no command"
    def run(self, command, limit, *arguments, **others):
        limit = 1.2 if any(self.hurried in str(word) for word in command) else limit
        return super().run(command, limit, *arguments, **others)

def call(name, seconds=300):
    """A call of the acceptance with this stage alone."""
    stage = Stage(name, options, manifest, seconds)
    gpu_stages.STAGES[name](stage, options)
    return stage.end()
PYTHON
cat >"$scratch/slow-python" <<'SH'
#!/bin/sh
case $* in
*gpu_ceilings*) echo '{"copy": 1, "product": 1}' ;;
*gpu_pytorch*) exec sleep 99 ;;
esac
SH
chmod +x "$scratch/slow-python"
(cd "$there/scripts" && PYTHONPATH=$scratch python3 - "$scratch" <<'PYTHON') || fail "what takes longer"
from calls import *
Stage.hurried = "gpu_pytorch"
for again in (False, True):
    about = call("pytorch")
    assert about["status"] == "passed" and not about["goals"], about
    row = about["tables"][1]["rows"][0]
    assert row[1:3] == ["eager AMP", "left out: took longer than 1.2 s"] and row[3] > 0, row
    assert any("left out" in note for note in about["notes"]), about["notes"]
    kept = {c["kept"] for c in about["commands"] if "-c" not in c["command"]}
    assert kept == {again}, about["commands"]

def tried(command, retries, seconds=300):
    stage = Stage("bench", options, manifest, seconds)
    done = stage.run([command], 1.2, retries=retries)
    stage.ended_well("a command", done)
    return done, stage.lates([command]), stage.end()["status"]

class Planned(Stage):
    """One that runs nothing, and says where plans are kept."""
    def run(self, command, limit, environment=None, **others):
        places.append(environment["XDG_CACHE_HOME"])
        return gpu_stage.Done(None, "", "", 0, waits=True)

options.models, places = list(gpu_stages.COMPARED), []
gpu_stages.costs(Planned("costs", options, manifest, 300), options)
options.models = ["simple"]
assert len(set(places)) == len(gpu_stages.COMPARED) and str(options.plans) not in places, places

slow, other = str(scratch / "waits"), str(scratch / "slow-python")
assert tried(slow, 2, 1.1)[0].waits and tried(slow, 2, 1.1)[1:] == (0, "unfinished")
for lates in (1, 2):
    done, *said = tried(slow, 2)
    assert done.waits and not done.kept and said == [lates, "unfinished"], (vars(done), said)
for kept in (False, True):
    done, *said = tried(slow, 2)
    assert done.kept == kept and said == [3, "failed"], (vars(done), said)
    assert done.says().startswith("stopped after 1 s"), done.says()
assert tried(other, 0)[2] == "passed"

# An epoch; none, as there is no time; all of them. The last is what one without a break ended with.
def trained(worth, longest):
    gpu_stages.WORTH, gpu_stages.LONGEST = worth, longest
    about = call("train")
    assert all(check["pass"] for check in about["checks"]), about["checks"]
    return about, about["tables"][0]["rows"][0], about["goals"][0], about["commands"][0]

for worth, resumed in ((0, False), (1e3, True)):
    about, row, goal, command = trained(worth, gpu_stages.TO_END + 0.06)
    assert about["status"] == "unfinished" and about["without_time"] == 1, about
    assert row[3] == "1 of 2" and row[4] > 0, row
    assert not goal["met"] and goal["found"].startswith("ended early: too slow here for "), goal
    assert goal["found"].endswith(" s, after 1 of 2 epochs"), goal
    assert ("--resume" in command["command"]) == resumed, command
for kept in (False, True):
    about, row, goal, command = trained(0, 510)
    assert about["status"] == "passed" and goal["met"] and command["kept"] == kept, about
    unbroken = json.load(open(scratch / "before.json"))["tables"][0]["rows"][0]
    assert row[:5] == unbroken[:5] and row[3] == 2, (row, unbroken)
    assert kept or "--resume" in command["command"], command
PYTHON

# ---- the same on the simulated device, where it was built, which takes a GPU's place in the bundle
sim=$build/tests/modules-sim/fmnist-cuda.so
if [ -f "$sim" ]; then
    cp "$sim" "$there/lib/fmnist/"
    cp "$build/tests/simcuda/libsimcuda.so" "$there/lib/"
    export LD_LIBRARY_PATH="$scratch/cuda" # NVIDIA's by name; nothing loads them
    expect 0 accept --backend cuda --stage parity --models simple
    grep -q '^| parity | passed | 21 of 21 |.*SIMULATED' "$scratch/out/acceptance.md" ||
        fail "the table does not say that the device is simulated"
    # A test as it is linked for a device, from the bundle alone. NVIDIA's names are the simulation.
    for name in libcudart.so.13 libcublasLt.so.13 libcudnn.so.9; do
        ln -sf "$there/lib/libsimcuda.so" "$scratch/cuda/$name"
    done
    cp "$build/tests/gpu_parity_skip" "$there/bin/"
    mv "$there/manifest.json" "$scratch/"
    sed 's/"test_kernels",$/"gpu_parity_skip"/; /"test_update"$/d' "$scratch/manifest.json" \
        >"$there/manifest.json"
    export FM_TEST_FILTER='simple fp32, incurable'
    expect 0 accept --backend cuda --stage tests
    unset FM_TEST_FILTER LD_LIBRARY_PATH
    mv "$scratch/manifest.json" "$there/"
    grep -q '^| gpu_parity_skip | 1 | 0 | 0 |' "$scratch/out/acceptance.md" || fail "a parity test"
else
    echo "SKIP: parity on the simulated device: $sim is not built"
fi

# ---- each test that a program for a device is asked for is one that it has
(cd "$there/scripts" && python3 - "$root/tests" <<'PYTHON') || fail "the tests for a device"
import pathlib, sys
import gpu_stages
for program, names in gpu_stages.FILTERS.items():
    source = pathlib.Path(sys.argv[1], program[len("gpu_"):] + ".c").read_text()
    assert all(f"TEST({name})," in source for name in names), (program, names)
PYTHON

# ---- no failure is hidden, and those of other stages stay told
export PLANTED=2 KERNEL='void (anonymous namespace)::relu_forward<__half>(T1 const*, T1*, ulong)'
expect 1 accept --stage sanitizer --again
says 'sanitizer: FAILED: racecheck: errors: found 2, expected 0'
grep -q '^| sanitizer | failed | 1 of 7 |' "$scratch/out/acceptance.md" || fail "the table hides it"
KERNEL='void nhwc_batch_norm_fwd<__half, float, 512, true>(nhwc_batch_norm_fwd_params)'
expect 0 accept --stage sanitizer --again
grep -q '^| sanitizer | passed | 4 of 4 |' "$scratch/out/acceptance.md" || fail "a library's are ours"
grep -q '^| racecheck | 0 | 2 |' "$scratch/out/acceptance.md" || fail "a library's are hidden"
unset PLANTED KERNEL
expect 4 accept --stage tests --minutes 0.0001 --again
says '^| tests | unfinished; 2 commands wait for another call | 0 of 0 |'
grep -q "not run: the stage's time was used up" "$scratch/out/tests.json" || fail "why nothing was run"
expect 0 accept --stage tests # goes on where the time was used up
expect 1 accept --stage train --data "$scratch/nowhere"
expect 2 accept --stage bench --models lenet
says "'lenet' is none of simple, deeper"
printf '#!/bin/sh\necho nothing here >&2; exit 1\n' >"$scratch/python"
chmod +x "$scratch/python"
torch=$scratch/python
expect 77 accept --stage pytorch
says 'SKIP: .*has no PyTorch: exit status 1: nothing here'
mv "$there/bin/test_kernels" "$scratch/" # as if it had not been unpacked
expect 1 accept --stage tests --again
says 'test_kernels: found could not be started'
