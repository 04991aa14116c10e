"""What each stage of scripts/gpu-acceptance does. A stage is a function of a Stage (gpu_stage.py) and
the options; it runs commands of the bundle and says what it found and what it expected."""

import json
import os
import pathlib
import re
import statistics
import tempfile
import time

import gpu_sanitizer

MODELS = ("simple", "deeper", "vgg16", "simple-ref", "deeper-ref")
COMPARED = ("simple", "deeper", "vgg16")  # those that PyTorch's side has, too
EXIT_SKIPPED = 77


def models_of(options, among=MODELS):
    chosen = options.models or (("simple",) if options.quick else among)
    return [model for model in among if model in chosen]


def measure(stage, options, command, limit, *arguments):
    """Runs `measure` of the bundle; its JSON, or None where the check says why."""
    done = stage.run([options.bundle / "bin/measure", command, "--modules",
                      options.bundle / "lib/fmnist", "--data", options.data, "--backend",
                      options.backend, "--plans", options.plans / "fmnist", *arguments], limit)
    name = f"measure {command} {' '.join(map(str, arguments))}"
    return done.json() if stage.ended_well(name, done) else None


# ---- tests: the device tests on the real device


# Of a program that has more, those tests that do not know the simulated device's engines.
FILTERS = {"gpu_test_cuda_graph": ("test_kinds", "test_sizes", "test_captured")}


def tests(stage, options):
    rows = stage.table("Tests", ["test", "passed", "skipped", "failed", "seconds"])
    for name in options.manifest["tests"]:
        for chosen in FILTERS.get(name, (None,)):
            run_test(stage, options, name, chosen, rows)


def run_test(stage, options, program, chosen, rows):
    command = [options.bundle / "bin" / program]
    if program.startswith("gpu_parity_"):
        command += [options.backend, options.bundle / "lib/fmnist"]
    environment = dict(options.environment, **({"FM_TEST_FILTER": chosen} if chosen else {}))
    name = program + (f" {chosen}" if chosen else "")
    done = stage.run(command, 240, environment, options.bundle)
    tell_test(stage, name, done, rows)


def tell_test(stage, name, done, rows):
    said = done.output + done.errors
    counts = [len(re.findall(pattern, said, re.M)) for pattern in
              (r"^\[ +OK +\]", r"^\[  SKIPPED \] (?!\d+ test)", r"^\[  FAILED  \] (?!\d+ test)")]
    rows.append([name, *counts, round(done.seconds, 1)])
    stage.ended_well(name, done)
    if done.status != EXIT_SKIPPED:
        stage.at_least(f"{name}: tests passed", counts[0], 1)
    if done.status not in (0, EXIT_SKIPPED):
        stage.note(f"{name}: " + " / ".join(said.strip().splitlines()[-12:]))


# ---- sanitizer: compute-sanitizer on a short training


def sanitizer(stage, options):
    gpu_sanitizer.run(stage, options, precision_of(options))


# ---- parity: the same steps on the GPU and on the CPU

# |difference| / |reference|, in the 2-norm of the worst tensor (tests/gpu/parity.c): several times
# what the simulated device shows at batch 8, where rounding that turns a ReLU weighs most. free_run
# is after steps of their own.
TOLERANCES = {
    "fp32": {"gradient": 2e-4, "change": 5e-4, "loss": 1e-5, "logits": 1e-5, "running": 1e-4,
             "free_run": 1e-3},
    "fp16": {"gradient": 0.15, "change": 0.15, "loss": 2e-3, "logits": 5e-3, "running": 2e-3,
             "free_run": 1e-2},
    "bf16": {"gradient": 0.4, "change": 0.4, "loss": 1e-2, "logits": 3e-2, "running": 5e-3,
             "free_run": 3e-2},
}


def parity(stage, options):
    quantities = list(TOLERANCES["fp32"])
    rows = stage.table("Distance from the CPU", ["model", "precision", *quantities])
    for model in models_of(options):
        for precision in options.device.get("precisions", []):
            batch = 16 if model == "vgg16" or options.quick else 64
            steps, free = (2, 2) if options.quick else (5, 20)
            found = measure(stage, options, "parity", 120, "--against", "cpu", "--model", model,
                            "--precision", precision, "--batch", batch, "--steps", steps,
                            "--runs", free)
            if not found:
                continue
            rows.append([model, precision] + [found[q]["distance"] if q in found else "-"
                                              for q in quantities])
            skipped = (found["skipped"], found["reference_skipped"])
            stage.check(f"{model} {precision} skipped steps", skipped == (0, 0),
                        f"{skipped[0]}, on the CPU {skipped[1]}", "none")
            for quantity, bound in TOLERANCES[precision].items():
                if quantity in found:
                    worst = found[quantity]
                    stage.at_most(f"{model} {precision} {quantity} ({worst['tensor']})",
                                  worst["distance"], bound)


# ---- train: every model to accuracy; the time to 94 %

# Test accuracy by the recipe `best`, in minutes at most. simple's is what a CPU reached (93.37 %)
# less the spread of seeds; the others' are expectations.
ACCURACY = {"simple": (0.930, 1.0), "deeper": (0.940, 1.5), "vgg16": (0.940, 2.0),
            "simple-ref": (0.925, 0.6), "deeper-ref": (0.920, 0.6)}
TO_94 = 1.5  # seconds


def precision_of(options):
    return ["--precision", options.precision] if options.precision else []


def train_once(stage, options, model, out, limit, *arguments, environment=None):
    """(result.json, seconds of the process, seconds until the weights were written)"""
    begin = time.time()
    done = stage.run([options.bundle / "bin/fmnist", "train", "--model", model, "--backend",
                      options.backend, "--data", options.data, "--out", out, "--force", "--quiet",
                      "--format", "json", *precision_of(options), *arguments,
                      *(["--resident"] if options.backend == "cuda" else [])], limit,
                     environment)
    if not stage.ended_well(f"{model}: fmnist train {' '.join(map(str, arguments))}", done):
        return None
    weights = (pathlib.Path(out) / "model.safetensors").stat().st_mtime - begin
    return json.loads((pathlib.Path(out) / "result.json").read_text()), done.seconds, weights


def train(stage, options):
    rows = stage.table("To accuracy", ["model", "recipe", "precision", "epochs", "test accuracy",
                                       "training, s", "process, s", "images/s", "skipped steps"])
    with tempfile.TemporaryDirectory() as scratch:
        to_94(stage, options, f"{scratch}/run", f"{scratch}/plans")
        for model in models_of(options):
            bound, minutes = (0.2, 0.2) if options.quick else ACCURACY[model]
            recipe = (["--recipe", "quick", "--epochs", "2"] if options.quick
                      else ["--recipe", "best", "--train-eval", "3000"])
            done = train_once(stage, options, model, f"{scratch}/run", 60 * minutes + 45, *recipe,
                              "--max-minutes", minutes)
            if not done:
                continue
            result = done[0]
            rows.append(row_of(result, done[1]))
            stage.check(f"{model}: the recipe was finished", not result["ended_early"],
                        f"{result['epochs']} of {result['epochs_planned']} epochs", "all epochs")
            stage.at_least(f"{model}: test accuracy", result["test"]["accuracy"], bound)


def row_of(result, seconds):
    return [result["model"], result["recipe"], result["precision"], result["epochs"],
            result["test"]["accuracy"], result["seconds"], seconds, result["images_per_second"],
            result["counters"]["skipped"]]


def to_94(stage, options, out, plans):
    """The first run finds plans and keeps them, in a folder that is empty as it begins; those after
    it are what the goal is about."""
    if options.models and "deeper" not in options.models:
        return
    times = stage.table("Time to 94 %, deeper by speedrun, from the start of the process",
                        ["run", "test accuracy", "steps alone, s", "weights written, s", "process ended, s"])
    model, few = ("simple", ["--epochs", "1"]) if options.quick else ("deeper", [])
    environment = dict(options.environment, XDG_CACHE_HOME=plans)
    for run, seed in (("cold", 1), ("warm", 1), ("warm, seed 2", 2)):
        # The cold one chooses an engine for each graph, by trying them out.
        done = train_once(stage, options, model, out, 180 if run == "cold" else 60, "--recipe",
                          "speedrun", "--seed", seed, "--train-eval", 1, *few, environment=environment)
        if not done:
            continue
        result, seconds, weights = done
        accuracy = result["test"]["accuracy"]
        times.append([run, accuracy, result["seconds"], weights, seconds])
        if options.quick:
            continue
        stage.at_least(f"speedrun {run}: test accuracy", accuracy, 0.94)
        if run != "cold":
            stage.goal(f"94 % in {TO_94} s of process start, {run}", accuracy >= 0.94 and seconds <= TO_94,
                       f"{100 * accuracy:.2f} % in {seconds:.2f} s", f"{TO_94} s")


# ---- bench: latency and throughput

LATENCY_GOALS = {"simple": 25e-6, "deeper": 40e-6, "vgg16": 100e-6}


def bench(stage, options):
    latency(stage, options)
    throughput(stage, options)


def latency(stage, options):
    batches = [1, 4] if options.quick else [2**k for k in range(11)]
    rows = stage.table("Latency of a batch as the host sees it, median, microseconds",
                       ["model", *map(str, batches)])
    tails = stage.table("Latency of one image, microseconds", ["model", "p50", "p90", "p99"])
    for model in models_of(options):
        found = measure(stage, options, "latency", 60, "--model", model, "--precision",
                        options.precision or "auto", "--batches", ",".join(map(str, batches)),
                        "--runs", 10 if options.quick else 300)
        if not found:
            continue
        rows.append([model] + [1e6 * b["p50"] for b in found["batches"]])
        one = found["batches"][0]
        tails.append([model] + [1e6 * one[p] for p in ("p50", "p90", "p99")])
        if model in LATENCY_GOALS and options.backend == "cuda":
            stage.goal(f"{model}: latency of one image", one["p50"] <= LATENCY_GOALS[model],
                       f"{1e6 * one['p50']:.1f} us", f"{1e6 * LATENCY_GOALS[model]:.0f} us")


# What is timed: a precision, and what is asked of it beside.
KINDS = (("fp16", "--resident"), ("fp16",), ("fp16", "--resident", "--unfused"), ("bf16", "--resident"),
         ("fp32", "--resident", "--tf32"), ("fp32", "--resident"))


def steps_of(options, model, precision):
    """Enough for a tenth of a second or more on a large GPU; few where a step is long."""
    if options.quick:
        return ["--batch", 32, "--steps", 3, "--warmup", 2, "--runs", 2]
    steps = {"vgg16": 100, "deeper": 300}.get(model, 1000)
    return ["--batch", 256, "--steps", steps // 4 if precision == "fp32" else steps, "--runs", 5]


def throughput(stage, options):
    rows = stage.table("Training, images a second", ["model", "precision", "how", "median", "least", "most"])
    precisions = options.device.get("precisions", [])
    for model in models_of(options):
        for precision, *how in KINDS:
            if precision not in precisions or ("--tf32" in how and options.backend != "cuda"):
                continue
            found = measure(stage, options, "train", 60, "--model", model, "--precision", precision,
                            *steps_of(options, model, precision), *how)
            if found:
                rates = found["images_per_second"]
                words = " ".join(h.strip("-") for h in how) or "fed by the host"
                rows.append([model, precision, words, statistics.median(rates), min(rates), max(rates)])
        profile(stage, options, model)


def profile(stage, options, model):
    precision = "fp16" if "fp16" in options.device.get("precisions", []) else "fp32"
    found = measure(stage, options, "train", 60, "--model", model, "--precision", precision,
                    *steps_of(options, model, precision), "--resident", "--profile")
    if not found:
        return
    rows = stage.table(f"Profile of a step of {model}, {precision}, command by command",
                       ["layer", "pass", "plan", "microseconds", "TFLOP/s", "TB/s"])
    for entry in found["profile"]:
        seconds = entry["seconds"]
        rates = [entry[k] / seconds / 1e12 if seconds > 0 else None for k in ("flops", "bytes")]
        rows.append([entry["layer"], entry["pass"], entry["plan"], 1e6 * seconds, *rates])
    rows.append(["all", "", "", sum(1e6 * e["seconds"] for e in found["profile"]), "", ""])


# ---- costs: what fmnist bench says, as its users ask for it

# Beside fp16, fused, as a GPU chooses by itself; the last is what the original's factor is about.
VERSUS = "bf16,fp32,unfused,fp32+unfused"


def costs(stage, options):
    about = stage.table("What a model costs: fmnist bench, milliseconds a batch and joules for 1,000 images",
                        ["model", "side", "one image, host", "device", "largest batch, host", "device",
                         "images/s", "joules", "training, images/s", "joules", "base over it, predicting",
                         "training"])
    starts = stage.table("From the start of a process to its first prediction, seconds",
                         ["model", "median", "least", "most", "starts"])
    for model in models_of(options, COMPARED):
        found = bench_once(stage, options, model)
        if not found:
            continue
        for side in found["sides"]:
            if side["skipped"]:
                stage.note(f"{model}, {side['name']}: {side['skipped']}")
            else:
                about.append([model, side["name"], *costs_of(side)])
                tell_side(stage, options, model, side)
        start = found["start"]
        starts.append([model, *(start.get(key) for key in ("seconds", "least", "most", "starts"))])
        stage.check(f"{model}: a start was measured", start["seconds"], start.get("reason"), "seconds")
        if options.backend == "cuda":
            stage.goal(f"{model}: energy was told", not found["no_energy"], found["no_energy"] or "yes", "yes")


def bench_once(stage, options, model):
    much = (["--batches", "1,4", "--train-batches", 8, "--seconds", 0.02] if options.quick
            else ["--batches", "1,16,256,1024", "--seconds", 1])
    done = stage.run([options.bundle / "bin/fmnist", "bench", "--model", model, "--backend",
                      options.backend, "--data", options.data, "--versus", VERSUS, "--quiet", "--format",
                      "json", "--out", options.out / f"costs-{model}", "--force", *much,
                      *precision_of(options), *(["--resident"] if options.backend == "cuda" else [])], 150)
    return done.json() if stage.ended_well(f"{model}: fmnist bench", done) else None


def costs_of(side):
    one, most, trained = side["predictions"][0], side["predictions"][-1], side["training"][0]

    def milliseconds(figure, clock):
        return 1e3 * figure[clock]["p50"] if figure[clock] else None

    def gain(figure):
        return figure["gain"]["median"] if figure["gain"] else None

    return [milliseconds(one, "host"), milliseconds(one, "device"), milliseconds(most, "host"),
            milliseconds(most, "device"), most["host"]["images_per_second"],
            most["joules_per_1000_images"], trained["host"]["images_per_second"],
            trained["joules_per_1000_images"], gain(most), gain(trained)]


def tell_side(stage, options, model, side):
    """What the device works, the host waits for: nothing can be over before it."""
    if options.backend != "cuda" or options.quick:
        return
    for figure in side["predictions"]:
        name = f"{model}, {side['name']}, batch {figure['batch']}: median on the device, seconds"
        stage.at_most(name, figure["device"] and figure["device"]["p50"], 1.05 * figure["host"]["p50"])


# ---- pytorch: side by side

RATIO_GOALS = {"simple": (6, 2), "deeper": (3, 1.5), "vgg16": (1.3, 1.05)}
WAYS = (("eager AMP", []), ("compile max-autotune", ["--compile"]))


def missing_pytorch(stage, options):
    done = stage.run([options.python, "-c", "import torch"], 120, os.environ)
    return None if done.status == 0 else f"{options.python} has no PyTorch: {done.says()}"


def side_by_side(stage, options, model, way, arguments):
    batch, steps, rounds, warmup = (32, 3, 2, 1) if options.quick else (256, 100, 5, 20)
    script = pathlib.Path(__file__).with_name("gpu_pytorch.py")
    done = stage.run(
        [options.python, script, "--model", model, "--device", options.backend, "--batch", batch,
         "--batches", 4 if options.quick else 50, "--steps", steps, "--rounds", rounds, "--warmup",
         warmup, "--data", options.data, *arguments], 240 if arguments else 90, os.environ)
    if not stage.ended_well(f"{model}: PyTorch {way}", done):
        return None
    return done.json()


def pytorch(stage, options):
    reason = missing_pytorch(stage, options)
    if reason:
        stage.skip(reason)
        return
    ways = WAYS if options.compile else WAYS[:1]
    rows = stage.table("Training, images a second, batch 256" if not options.quick else "Training, images a second",
                       ["model", "fmnist", *(c for way, _ in ways for c in (f"PyTorch {way}", "ratio"))])
    precision = "fp16" if "fp16" in options.device.get("precisions", []) else "bf16"
    for model in models_of(options, COMPARED):
        ours = measure(stage, options, "train", 60, "--model", model, "--precision", precision,
                       *steps_of(options, model, precision), "--resident")
        row = [model, ours and statistics.median(ours["images_per_second"])]
        for (way, arguments), goal in zip(ways, RATIO_GOALS[model]):
            theirs = side_by_side(stage, options, model, way, arguments)
            ratio = row[1] / theirs["median"] if ours and theirs else None
            row += [theirs and theirs["median"], ratio]
            if theirs:
                stage.note(f"{model}, {way}: PyTorch {theirs['torch']}, {theirs['device']}, first step "
                           f"{theirs['first_step_seconds']:.1f} s, {theirs['parameters']:,} parameters")
            if ratio and options.backend == "cuda":
                stage.goal(f"{model}: to PyTorch {way}", ratio >= goal, f"{ratio:.2f}x", f"{goal}x")
        rows.append(row)


STAGES = {"tests": tests, "sanitizer": sanitizer, "parity": parity, "train": train, "bench": bench,
          "costs": costs, "pytorch": pytorch}
