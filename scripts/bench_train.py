"""Training throughput beside PyTorch: a part of scripts/bench-vs.

What is timed on both sides: whole training steps (forward, backward, Adam, dropout), and nothing
else: no evaluation, no reading of files, no compilation. PyTorch takes its batches from a list of
tensors normalised beforehand, which costs it nothing; fmnist gathers, shuffles and normalises as in
any training. Before the clock starts PyTorch takes three steps, and fmnist an epoch of as many
steps as the measured one.
"""

import gzip
import json
import math
import pathlib
import struct
import tempfile

from bench_common import (KEEPING_MEMORY, PROBE_STEPS, Comparison, Contestant, Failed, Part,
                          open_pytorch, take_turns)

MODELS = ("simple", "deeper", "vgg16")
LEAST_STEPS, MOST_STEPS = 4, 200
TRAINED_SHARE = 0.9  # of the training images, which fmnist selects and calibrates on, too
SPARE = 20  # more images than that share asks for, as it is rounded


def pytorch_arguments(bench, model, precision, layout, compiled, batches):
    return ["--model", model, "--layout", layout, "--precision", precision,
            "--batch", str(bench.options.batch), "--batches", str(batches),
            "--data", str(bench.options.data), *(["--compile"] if compiled else [])]


def fmnist_arguments(bench, model, precision, steps, data, out):
    """A training of two epochs of `steps` each, of which the second counts."""
    batch = bench.options.batch
    return ["train", "--model", model, "--recipe", "reference", "--epochs", 2,
            "--epoch-images", steps * batch, "--batch", batch, "--train-eval", 256,
            "--backend", "cpu", "--precision", precision, "--threads", bench.options.threads,
            "--data", data, "--out", out, "--quiet"]


def fmnist_rate(bench, model, precision, steps):
    # As few images as will do, since the tool evaluates on the others.
    data = bench.data(math.ceil(steps * bench.options.batch / TRAINED_SHARE) + SPARE)
    with tempfile.TemporaryDirectory(dir=bench.scratch) as parent:
        out = pathlib.Path(parent, "run")
        bench.fmnist(*fmnist_arguments(bench, model, precision, steps, data, out))
        times = (out / "times.jsonl").read_text().splitlines()
        return json.loads(times[-1])["images_per_second"]


def check_same(bench, model, about):
    parameters = {m["name"]: m["parameters"] for m in bench.fmnist_json("models")}[model]
    if about["parameters"] != parameters:
        raise Failed(f"{model}: PyTorch's has {about['parameters']} parameters, fmnist's "
                     f"{parameters}: they are not the same model")


def most_steps(bench):
    """Whole batches of different images, for both."""
    with gzip.open(bench.options.data / "train-images-idx3-ubyte.gz") as file:
        _, images = struct.unpack(">II", file.read(8))
    steps = int((images - SPARE) * TRAINED_SHARE) // bench.options.batch
    if steps < 1:
        raise Failed(f"--batch {bench.options.batch}: the data set's {images:,} training "
                     f"images are too few")
    return min(MOST_STEPS, steps)


def compare(bench, model, precision):
    options, work, most = bench.options, f"{model}, {precision}", most_steps(bench)
    contestants, absent = open_pytorch(
        work, lambda layout, compiled: Contestant("bench_pytorch.py", pytorch_arguments(
            bench, model, precision, layout, compiled, most), options.threads, KEEPING_MEMORY),
        options.thorough)
    try:
        first = next(iter(contestants.values()))
        check_same(bench, model, first.about)
        bench.versions["PyTorch"] = f"{first.about['torch']}, {first.about['capability']} kernels"
        rate = first.images_per_second(PROBE_STEPS)
        steps = options.steps or round(options.seconds * rate / options.batch)
        steps = min(most, max(1 if options.steps else LEAST_STEPS, steps))
        turns = {"fmnist": lambda: fmnist_rate(bench, model, precision, steps)}
        turns |= {f"PyTorch {name}": lambda c=c: c.images_per_second(steps)
                  for name, c in contestants.items()}
        values = take_turns(f"{work}, {steps} steps each, images a second", turns, options.rounds,
                            "{:,.0f}".format)
    finally:
        for contestant in contestants.values():
            contestant.close()
    absent = {f"PyTorch {name}": reason for name, reason in absent.items()}
    comparison = Comparison(work, ("train", model, precision), values.pop("fmnist"), values, absent)
    return comparison, steps


def measure(bench):
    comparisons, steps = [], []
    for model in bench.models(MODELS):
        for precision in bench.precisions():
            comparison, count = compare(bench, model, precision)
            comparisons.append(comparison)
            steps.append(f"{comparison.work} {count}")
    blocks = bench.left_out()
    if steps:
        blocks.append([f"Steps a round: {'; '.join(steps)}."])
    return Part(
        "Training", f"Images a second in training at batch {bench.options.batch}, whole steps with "
        "Adam. PyTorch's batches are normalised beforehand; its bf16 is autocast; what it frees is "
        f"kept for its next step ({KEEPING_MEMORY['GLIBC_TUNABLES']}).", comparisons,
        blocks)
