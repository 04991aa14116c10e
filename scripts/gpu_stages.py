"""What each stage of scripts/gpu-acceptance does. A stage is a function of a Stage (gpu_stage.py) and
the options; it runs commands of the bundle and says what it found and what it expected."""

import json
import os
import pathlib
import re
import shutil
import statistics
import time

import gpu_sanitizer

MODELS = ("simple", "deeper", "vgg16", "simple-ref", "deeper-ref")
COMPARED = ("simple", "deeper", "vgg16")  # those that PyTorch's side has, too
EXIT_SKIPPED = 77
# How often a command of fmnist's that runs past its own time is left to another call: it keeps the
# plans that it has chosen, every few seconds, and the next finds them.
RETRIES = 2


def models_of(options, among=MODELS):
    chosen = options.models or (("simple",) if options.quick else among)
    return [model for model in among if model in chosen]


def measure(stage, options, command, limit, *arguments, turn=0):
    """Runs `measure` of the bundle; its JSON, or None where the check says why."""
    done = stage.run([options.bundle / "bin/measure", command, "--modules",
                      options.bundle / "lib/fmnist", "--data", options.data, "--backend",
                      options.backend, "--plans", options.plans / "fmnist", *arguments], limit,
                     turn=turn, retries=RETRIES)
    name = f"measure {command} {' '.join(map(str, arguments))}"
    return done.json() if stage.ended_well(name, done) else None


# ---- tests: the device tests on the real device


# Of a program that has more, those tests that neither know the simulated device's engines nor steer it.
FILTERS = {"gpu_test_cuda_graph": ("test_kinds", "test_sizes", "test_captured"),
           "gpu_test_cuda_dense": ("test_fused", "test_orders", "test_two_runs", "test_split_sums")}


def is_parity(name):
    """Those that train on both sides, which take minutes."""
    return name.startswith("gpu_parity_")


def tests(stage, options):
    rows = stage.table("Tests", ["test", "passed", "skipped", "failed", "seconds"])
    for name in sorted(options.manifest["tests"], key=is_parity):
        for chosen in FILTERS.get(name, (None,)):
            run_test(stage, options, name, chosen, rows)


def run_test(stage, options, program, chosen, rows):
    command = [options.bundle / "bin" / program]
    if is_parity(program):
        command += [options.backend, options.bundle / "lib/fmnist"]
    environment = dict(options.environment, FM_PARITY_PLANS=str(options.plans / "fmnist"),
                       **({"FM_TEST_FILTER": chosen} if chosen else {}))
    name = program + (f" {chosen}" if chosen else "")
    done = stage.run(command, 240, environment, options.bundle,
                     retries=RETRIES if is_parity(program) else 0)
    tell_test(stage, name, done, rows)


def tell_test(stage, name, done, rows):
    said = done.output + done.errors
    counts = [len(re.findall(pattern, said, re.M)) for pattern in
              (r"^\[ +OK +\]", r"^\[  SKIPPED \] (?!\d+ test)", r"^\[  FAILED  \] (?!\d+ test)")]
    rows.append([name, *counts, round(done.seconds, 1)])
    stage.ended_well(name, done)
    if done.status != EXIT_SKIPPED and not done.waits:
        stage.at_least(f"{name}: tests passed", counts[0], 1)
    for line in re.findall(r"^ *\d+ % of the tolerance: .*$", said, re.M):
        stage.note(f"{name}: {line.strip()}")
    if done.status not in (0, EXIT_SKIPPED):
        stage.note(f"{name}: " + " / ".join(said.strip().splitlines()[-12:]))


# ---- sanitizer: compute-sanitizer on a short training


def sanitizer(stage, options):
    gpu_sanitizer.run(stage, options, precision_of(options))


# ---- parity: the same steps on the GPU and on the CPU

# |difference| / |reference|, in the 2-norm of the worst tensor (tests/gpu/parity.c), that is aimed at:
# several times what the simulated device shows at batch 8, where rounding that turns a ReLU weighs
# most. free_run is after steps of their own. What is ten times as far apart is wrong; between the two
# chance may have turned a few ReLUs, of which vgg16 has the most behind one another.
TOLERANCES = {
    "fp32": {"gradient": 2e-4, "change": 5e-4, "loss": 1e-5, "logits": 1e-5, "running": 1e-4,
             "free_run": 1e-3},
    "fp16": {"gradient": 0.15, "change": 0.15, "loss": 2e-3, "logits": 5e-3, "running": 2e-3,
             "free_run": 1e-2},
    "bf16": {"gradient": 0.4, "change": 0.4, "loss": 1e-2, "logits": 3e-2, "running": 5e-3,
             "free_run": 3e-2},
}
DEEP = {"fp32": {"gradient": 1e-2, "change": 1e-2}, "fp16": {"gradient": 0.3, "change": 0.3},
        "bf16": {"gradient": 0.6, "change": 0.6}}  # vgg16's, as in tests/parity/compare.c
WRONG = 0.9  # a distance at which hardly anything is common


def tolerances(model, precision):
    return {**TOLERANCES[precision], **(DEEP[precision] if model == "vgg16" else {})}


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
            for quantity, bound in tolerances(model, precision).items():
                if quantity in found:
                    name = f"{model} {precision} {quantity} ({found[quantity]['tensor']})"
                    tell_distance(stage, name, found[quantity]["distance"], bound)


def tell_distance(stage, name, distance, bound):
    stage.at_most(name, distance, min(10 * bound, WRONG))
    stage.goal(name, distance is not None and distance <= bound, distance, bound)


# ---- train: every model to accuracy; the time to 94 %

# Test accuracy by the recipe `best` that is aimed at, and the minutes that its steps may take: what a CPU
# reached (docs/results/accuracy.md) less the spread of seeds; those of the models of the reference are
# expectations. Half a point below it is held to be wrong. That it takes longer is not: this depends on the
# machine, too, on its disk and on how fast it compiles.
ACCURACY = {"simple": (0.940, 1.0), "deeper": (0.950, 1.5), "vgg16": (0.940, 2.0),
            "simple-ref": (0.925, 0.6), "deeper-ref": (0.920, 0.6)}
BELOW = 0.005
TO_94 = 1.5  # seconds
# Seconds of a call that a training is given at most; those of it that are left for the epoch in which its
# time is up, and for the test; and the least of the rest that is worth beginning.
LONGEST, TO_END, WORTH = 510, 30, 15


def precision_of(options):
    return ["--precision", options.precision] if options.precision else []


def training(options, model, run, *arguments):
    """The command of a training into the folder `run` of the results, and what is read of it."""
    folder = options.out / "runs" / f"{run}-{options.precision or 'auto'}{'-quick' if options.quick else ''}"
    command = [options.bundle / "bin/fmnist", "train", "--model", model, "--backend", options.backend, "--data",
               options.data, "--out", folder, "--force", "--quiet", "--format", "json",
               *precision_of(options), *arguments, *(["--resident"] if options.backend == "cuda" else [])]
    return command, (folder / "result.json", folder / "model.safetensors")


def train_once(stage, options, model, run, limit, *arguments, environment=None, turn=0, retries=0):
    """(result.json, seconds of the process, seconds until the weights were written, when it began)"""
    command, files = training(options, model, run, *arguments)
    done = stage.run(command, limit, environment, turn=turn, needs=files, retries=retries)
    if not stage.ended_well(f"{model}: fmnist train {' '.join(map(str, arguments))}", done):
        return None
    result, weights = files
    return json.loads(result.read_text()), done.seconds, weights.stat().st_mtime - done.begun, done.begun


def going_on(folder, options):
    """The command that goes on with the training in a folder, and the minutes that it has taken."""
    times = folder / "times.jsonl"
    lines = times.read_text().splitlines() if times.is_file() else []
    return [options.bundle / "bin/fmnist", "train", "--resume", folder, "--backend", options.backend,
            "--data", options.data, "--quiet", "--format", "json",
            *(["--resident"] if options.backend == "cuda" else [])
            ], json.loads(lines[-1])["total_seconds"] / 60 if lines else 0


def train_to_end(stage, options, model, recipe):
    """Trains by a recipe, in as many calls as it takes: result.json, of the epochs so far where these are
    not all, and the seconds of the last process, if it came to an end; or None."""
    command, files = training(options, model, f"{model}-best", *recipe)
    result, before = files[0], files[0].with_name("result-before.json")
    minutes = (min(LONGEST, stage.left()) - TO_END) / 60
    now, taken, earlier = command, 0, None
    if (stage.lates(command) is not None and (result.parent / "last.safetensors").is_file()
            and not stage.kept(command, needs=files)):
        now, taken = going_on(result.parent, options)
        # What its time ended counts as finished as long as its result stands there.
        if result.is_file():
            result.replace(before)
        earlier = json.loads(before.read_text()) if before.is_file() else None
    done = stage.run(
        command, LONGEST if 60 * minutes >= WORTH else 0, needs=files, retries=RETRIES,
        instead=[*now, "--max-minutes", f"{taken + max(minutes, 0.001):.4f}"],
        is_over=lambda: not json.loads(result.read_text())["ended_early"])
    if done.waits and done.status != 0:
        return earlier and (earlier, None)
    # What ended early ended well, too, and yet waits.
    name = f"{model}: fmnist train {' '.join(map(str, recipe))}"
    if not stage.check(name, done.status == 0, done.says(), "exit status 0"):
        return None
    return json.loads(result.read_text()), done.seconds


def train(stage, options):
    rows = stage.table("To accuracy", ["model", "recipe", "precision", "epochs", "test accuracy",
                                       "training, s", "process, s", "images/s", "skipped steps"])
    to_94(stage, options)
    for model in models_of(options):
        aim, minutes = (0.2, 1) if options.quick else ACCURACY[model]
        recipe = (["--recipe", "quick", "--epochs", "2"] if options.quick
                  else ["--recipe", "best", "--train-eval", "3000"])
        done = train_to_end(stage, options, model, recipe)
        if not done:
            continue
        rows.append(row_of(*done))
        tell_training(stage, model, done[0], aim, 60 * minutes)


def tell_training(stage, model, result, aim, seconds):
    name, accuracy = f"{model}: test accuracy", result["test"]["accuracy"]
    met, found = result["seconds"] <= seconds, f"{result['seconds']:.1f} s"
    if result["ended_early"]:
        met, found = False, (f"ended early: too slow here for {result['total_seconds']:.0f} s, after "
                             f"{result['epochs']} of {result['epochs_planned']} epochs")
    stage.goal(f"{model}: the recipe's steps in {seconds:g} s", met, found, f"{seconds:g} s")
    if result["ended_early"]:
        stage.goal(name, accuracy >= aim, f"{100 * accuracy:.2f} %", f"{100 * aim:.1f} %")
    else:
        tell_accuracy(stage, name, accuracy, aim)


def tell_accuracy(stage, name, accuracy, aim):
    stage.at_least(name, accuracy, aim - BELOW)
    stage.goal(name, accuracy >= aim, f"{100 * accuracy:.2f} %", f"{100 * aim:.1f} %")


def row_of(result, seconds):
    epochs = result["epochs"]
    if result["ended_early"]:
        epochs = f"{epochs} of {result['epochs_planned']}"
    return [result["model"], result["recipe"], result["precision"], epochs,
            result["test"]["accuracy"], result["seconds"], seconds, result["images_per_second"],
            result["counters"]["skipped"]]


def to_94(stage, options):
    """The first run finds plans and keeps them, in a folder that is empty as it begins; those after
    it are what the goal is about."""
    if options.models and "deeper" not in options.models:
        return
    times = stage.table("Time to 94 %, deeper by speedrun, from the start of the process",
                        ["run", "test accuracy", "steps alone, s", "weights written, s", "process ended, s"])
    model, few = ("simple", ["--epochs", "1"]) if options.quick else ("deeper", [])
    plans = options.out / "plans-speedrun"
    environment = dict(options.environment, XDG_CACHE_HOME=str(plans))
    begun = 0  # of the cold one, whose plans the others find
    for run, seed in (("cold", 1), ("warm", 1), ("warm, seed 2", 2)):
        arguments = ["--recipe", "speedrun", "--seed", seed, "--train-eval", 1, *few]
        folder = f"speedrun-{run.replace(', ', '-').replace(' ', '-')}"
        # The cold one chooses an engine for each graph, by trying them out; where that took longer than
        # its time, it goes on with those that it has.
        command, files = training(options, model, folder, *arguments)
        late = stage.lates(command, environment) if run == "cold" else None
        if run == "cold" and not late and not stage.kept(command, environment, needs=files):
            shutil.rmtree(plans, ignore_errors=True)
        done = train_once(stage, options, model, folder, 300 if run == "cold" else 120, *arguments,
                          environment=environment, turn=begun, retries=RETRIES)
        if not done:
            return
        result, seconds, weights, began = done
        begun = begun or began
        if late:
            stage.note(f"speedrun {run}: found plans of {late} calls that took too long")
        accuracy = result["test"]["accuracy"]
        times.append([run, accuracy, result["seconds"], weights, seconds])
        if options.quick:
            continue
        tell_accuracy(stage, f"speedrun {run}: test accuracy", accuracy, 0.94)
        if run != "cold":
            stage.goal(f"94 % in {TO_94} s of process start, {run}", accuracy >= 0.94 and seconds <= TO_94,
                       f"{100 * accuracy:.2f} % in {seconds:.2f} s", f"{TO_94} s")


# ---- bench: latency and throughput

LATENCY_GOALS = {"simple": 25e-6, "deeper": 40e-6, "vgg16": 100e-6}
WARM_MS = 1000  # of work before anything counts: an idle GPU's clock is low
ROUND_MS = 300  # that a round lasts at least


def bench(stage, options):
    latency(stage, options)
    throughput(stage, options)
    latency_by_batch(stage, options)


def latencies_of(stage, options, model, batches, limit):
    found = measure(stage, options, "latency", limit, "--model", model, "--precision",
                    options.precision or "auto", "--batches", ",".join(map(str, batches)),
                    *(["--runs", 10] if options.quick else ["--runs", 1000, "--warm-ms", WARM_MS]))
    return found and found["batches"]


def latency(stage, options):
    """One image of each model first, which the goals are about: larger batches choose plans for long."""
    tails = stage.table("Latency of one image, microseconds", ["model", "p50", "p90", "p99"])
    for model in models_of(options):
        found = latencies_of(stage, options, model, [1], 90)
        if not found:
            continue
        one = found[0]
        tails.append([model] + [1e6 * one[p] for p in ("p50", "p90", "p99")])
        if model in LATENCY_GOALS and options.backend == "cuda":
            stage.goal(f"{model}: latency of one image", one["p50"] <= LATENCY_GOALS[model],
                       f"{1e6 * one['p50']:.1f} us", f"{1e6 * LATENCY_GOALS[model]:.0f} us")


def latency_by_batch(stage, options):
    batches = [4] if options.quick else [4**k for k in range(1, 6)]
    rows = stage.table("Latency of a batch as the host sees it, median, microseconds",
                       ["model", *map(str, batches)])
    for model in models_of(options, COMPARED):
        found = latencies_of(stage, options, model, batches, 120)
        if found:
            rows.append([model] + [1e6 * b["p50"] for b in found])


# What is timed: a precision, and what is asked of it beside.
KINDS = (("fp16", "--resident"), ("fp16",), ("fp16", "--resident", "--unfused"), ("bf16", "--resident"),
         ("fp32", "--resident", "--tf32"), ("fp32", "--resident"))


def steps_of(options):
    if options.quick:
        return ["--batch", 32, "--steps", 3, "--warmup", 2, "--runs", 2]
    return ["--batch", 256, "--steps", 20, "--warm-ms", WARM_MS, "--round-ms", ROUND_MS, "--runs", 5]


def throughput(stage, options):
    rows = stage.table("Training, images a second", ["model", "precision", "how", "median", "least", "most"])
    precisions = options.device.get("precisions", [])
    for model in models_of(options):
        for precision, *how in KINDS:
            if precision not in precisions or ("--tf32" in how and options.backend != "cuda"):
                continue
            found = measure(stage, options, "train", 90, "--model", model, "--precision", precision,
                            *steps_of(options), *how)
            if found:
                rates = found["images_per_second"]
                words = " ".join(h.strip("-") for h in how) or "fed by the host"
                rows.append([model, precision, words, statistics.median(rates), min(rates), max(rates)])
        profile(stage, options, model)


def profile(stage, options, model):
    precision = "fp16" if "fp16" in options.device.get("precisions", []) else "fp32"
    found = measure(stage, options, "train", 60, "--model", model, "--precision", precision,
                    *steps_of(options), "--resident", "--profile")
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
    """With plans of its own, as a start reads all that the folder has: it is timed."""
    much = (["--batches", "1,4", "--train-batches", 8, "--seconds", 0.02] if options.quick
            else ["--batches", "1,16,256,1024", "--seconds", 1])
    command = [options.bundle / "bin/fmnist", "bench", "--model", model, "--backend", options.backend,
               "--data", options.data, "--versus", VERSUS, "--quiet", "--format", "json", "--out",
               options.out / f"costs-{model}", "--force", *much, *precision_of(options),
               *(["--resident"] if options.backend == "cuda" else [])]
    plans = options.out / "plans-costs" / model
    environment = dict(options.environment, XDG_CACHE_HOME=str(plans))
    if stage.lates(command, environment) is None:
        shutil.rmtree(plans, ignore_errors=True)
    done = stage.run(command, 300, environment, retries=RETRIES)
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
    done = stage.run([options.python, "-c", "import torch"], 120, os.environ, turn=time.time())
    if done.late:
        return f"import torch of {options.python} took longer than {done.late:g} s"
    if done.status is None:
        stage.ended_well("import torch", done)
    return None if done.status in (0, None) else f"{options.python} has no PyTorch: {done.says()}"


def side_by_side(stage, options, model, way, arguments):
    """What PyTorch's side printed; where it took too long, why it is left out; None where it failed."""
    batch, steps, rounds, warmup = (32, 3, 2, 1) if options.quick else (256, 20, 5, 20)
    times = [] if options.quick else ["--warm-ms", WARM_MS, "--round-ms", ROUND_MS]
    script = pathlib.Path(__file__).with_name("gpu_pytorch.py")
    done = stage.run(
        [options.python, script, "--model", model, "--device", options.backend, "--batch", batch,
         "--batches", 4 if options.quick else 50, "--steps", steps, "--rounds", rounds, "--warmup",
         warmup, "--data", options.data, *times, *arguments], 200 if arguments else 90, os.environ)
    if done.late:
        return done.left_out()
    if not stage.ended_well(f"{model}: PyTorch {way}", done):
        return None
    return done.json()


def pytorch(stage, options):
    reason = missing_pytorch(stage, options)
    if reason:
        stage.skip(reason)
        return
    ceilings(stage, options)
    rows = stage.table(f"Training, images a second, batch {32 if options.quick else 256}",
                       ["model", "PyTorch", "its", "fmnist before", "after", "ratio"])
    # The way that compiles for minutes comes last, of all models.
    for number, (way, arguments) in enumerate(WAYS if options.compile else WAYS[:1]):
        for model in models_of(options, COMPARED):
            compare_with(stage, options, model, way, arguments, RATIO_GOALS[model][number], rows)


def ours_now(stage, options, model, turn):
    offered = options.device.get("precisions", [])
    precision = next((p for p in ("fp16", "bf16") if p in offered), "fp32")
    found = measure(stage, options, "train", 90, "--model", model, "--precision", precision,
                    *steps_of(options), "--resident", turn=turn)
    return found and statistics.median(found["images_per_second"])


def compare_with(stage, options, model, way, arguments, goal, rows):
    """PyTorch between two runs of ours: the ratio is to the mean of these."""
    before = ours_now(stage, options, model, f"before {way}")
    theirs = side_by_side(stage, options, model, way, arguments)
    if isinstance(theirs, str):
        rows.append([model, way, theirs, before, "-", "-"])
        stage.note(f"{model}, {way}: PyTorch {theirs}")
        return
    after = ours_now(stage, options, model, f"after {way}")
    row = [model, way, theirs and theirs["median"], before, after, None]
    rows.append(row)
    if theirs:
        stage.note(f"{model}, {way}: PyTorch {theirs['torch']}, {theirs['device']}, first step "
                   f"{theirs['first_step_seconds']:.1f} s, {theirs['parameters']:,} parameters")
    if theirs and before and after:
        row[-1] = statistics.mean([before, after]) / theirs["median"]
        if options.backend == "cuda":
            stage.goal(f"{model}: to PyTorch {way}", row[-1] >= goal, f"{row[-1]:.2f}x", f"{goal}x")


def ceilings(stage, options):
    """What the floors of docs/gpu-performance.md are taken from, on this device."""
    sizes = ["--side", 256, "--mebibytes", 16] if options.quick else []
    done = stage.run([options.python, pathlib.Path(__file__).with_name("gpu_ceilings.py"), "--device",
                      options.backend, *sizes], 90, os.environ)
    if done.late:
        stage.note(f"ceilings, by PyTorch: {done.left_out()}")
        return
    found = done.json() if stage.ended_well("ceilings", done) else None
    if found:
        stage.table("Ceilings, by PyTorch", ["copy, TB/s, read and written", "fp16 product, TFLOP/s"]).append(
            [found["copy"] / 1e12, found["product"] / 1e12])


STAGES = {"tests": tests, "bench": bench, "train": train, "pytorch": pytorch, "parity": parity, "costs": costs,
          "sanitizer": sanitizer}
