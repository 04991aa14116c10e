"""A whole training beside PyTorch: a part of scripts/bench-vs that has to be asked for, as it takes
half an hour.

Recipe `speedrun`, model deeper, all its epochs and the test: the time of the process, and the
accuracy that it ends with. PyTorch's side is bench_pytorch_speedrun.py, in the configuration that
was fastest in a few steps.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

from bench_common import (KEEPING_MEMORY, PROBE_STEPS, SCRIPTS, Comparison, Contestant, Failed, Part,
                          last_line, open_pytorch, say)
from bench_train import pytorch_arguments

MODEL = "deeper"


def fastest(bench, precision):
    """(name, layout, compiled) of PyTorch's fastest configuration."""
    made, rates = {}, {}

    def begin(layout, compiled):
        contestant = Contestant("bench_pytorch.py", pytorch_arguments(
            bench, MODEL, precision, layout, compiled, PROBE_STEPS), bench.options.threads,
            KEEPING_MEMORY)
        made[contestant] = layout, compiled
        return contestant

    contestants, _ = open_pytorch(f"{MODEL}, {precision}", begin, bench.options.thorough)
    for name, contestant in contestants.items():
        rates[name] = contestant.images_per_second(PROBE_STEPS)
        contestant.close()
    best = max(rates, key=rates.get)
    return best, *made[contestants[best]]


def epochs(bench):
    return ["--epochs", bench.options.steps] if bench.options.steps else []


def fmnist(bench, precision):
    out = bench.scratch / "speedrun"
    begin = time.monotonic()
    bench.fmnist("train", "--model", MODEL, "--recipe", "speedrun", "--precision", precision,
                 "--backend", "cpu", "--threads", bench.options.threads,
                 "--data", bench.options.data, "--out", out, "--quiet", *epochs(bench))
    seconds = time.monotonic() - begin
    result = json.loads((out / "result.json").read_text())
    return seconds, result["test"]["accuracy"], result["test_flip"]["accuracy"]


def pytorch(bench, precision, layout, compiled):
    recipe = pathlib.Path(bench.scratch, "speedrun.json")
    recipe.write_text(bench.fmnist("recipe", "speedrun", "--model", MODEL))
    command = [sys.executable, SCRIPTS / "bench_pytorch_speedrun.py", "--recipe", recipe,
               "--layout", layout, "--precision", precision, "--threads", bench.options.threads,
               "--data", bench.options.data, *(["--compile"] if compiled else []), *epochs(bench)]
    begin = time.monotonic()
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=dict(os.environ, **KEEPING_MEMORY))
    seconds = time.monotonic() - begin
    if done.returncode != 0:
        raise Failed(f"PyTorch's speedrun: {last_line(done.stderr, done.returncode)}")
    answer = json.loads(done.stdout)
    bench.versions["PyTorch"] = answer["torch"]
    return seconds, answer["accuracy"], answer["mirrored"]


def measure(bench):
    precision = bench.precisions()[-1]  # bf16 where it is native
    name, layout, compiled = fastest(bench, precision)
    say(f"{MODEL}, {precision}: fmnist's speedrun")
    ours = fmnist(bench, precision)
    say(f"{MODEL}, {precision}: PyTorch's speedrun, {name}")
    theirs = pytorch(bench, precision, layout, compiled)
    comparison = Comparison(
        f"{MODEL}, {precision}", ("speedrun",), [ours[0]], {f"PyTorch {name}": [theirs[0]]},
        less=True, figure="{:,.0f} s".format)
    accuracies = [f"- {who}: {plain:.2%} of the test images are right, {mirrored:.2%} with their "
                  "mirror images" for who, (_, plain, mirrored)
                  in (("fmnist", ours), (f"PyTorch {name}", theirs))]
    return Part("Speedrun", "Seconds from the start of the process to its end, one training each: "
                "recipe `speedrun`, all of the data, the test included. Both draw random numbers "
                "of their own.",
                [comparison], [accuracies])
