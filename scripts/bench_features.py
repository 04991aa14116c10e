"""VGG16's features of images beside PyTorch: a part of scripts/bench-vs.

The convolutions of VGG16, with weights that are drawn at random, turn each image into 512 numbers,
once. fmnist's time is that of the whole pass, as `fmnist train --mode frozen` tells it: opening the
model, resizing, normalising and storing are in it. PyTorch's batches are resized and normalised
beforehand.
"""

import json
import math
import pathlib
import tempfile

from bench_common import KEEPING_MEMORY, Comparison, Contestant, Part, open_pytorch, take_turns

BATCH = 256  # PyTorch's
FEWEST_TRAINED = 256  # images of the training that follows the features


def fmnist_rate(bench, precision, weights, data):
    with tempfile.TemporaryDirectory(dir=bench.scratch) as parent:
        out = pathlib.Path(parent, "run")
        bench.fmnist("train", "--model", "vgg16", "--weights", weights, "--mode", "frozen",
                     "--no-feature-cache", "--recipe", "reference", "--epochs", 1,
                     "--epoch-images", FEWEST_TRAINED, "--backend", "cpu", "--precision", precision,
                     "--threads", bench.options.threads, "--data", data, "--out", out, "--quiet")
        transfer = json.loads((out / "result.json").read_text())["transfer"]
        return transfer["features_computed"] / transfer["feature_seconds"]


def compare(bench, precision):
    options, work = bench.options, f"vgg16, {precision}"
    steps = math.ceil(options.feature_images / BATCH)
    weights = bench.scratch / "base.safetensors"

    def begin(layout, compiled):
        return Contestant("bench_pytorch_features.py", [
            "--layout", layout, "--precision", precision, "--batch", str(BATCH),
            "--batches", str(steps), "--data", str(options.data), "--weights", str(weights),
            *(["--compile"] if compiled else [])], options.threads, KEEPING_MEMORY)

    contestants, absent = open_pytorch(f"features, {precision}", begin, options.thorough)
    try:
        about = next(iter(contestants.values())).about
        bench.versions["PyTorch"] = f"{about['torch']}, {about['capability']} kernels"
        data = bench.data(options.feature_images)
        turns = {"fmnist": lambda: fmnist_rate(bench, precision, weights, data)}
        turns |= {f"PyTorch {name}": lambda c=c: c.images_per_second(steps)
                  for name, c in contestants.items()}
        values = take_turns(f"features, {precision}, images a second", turns, options.rounds,
                            "{:,.0f}".format)
    finally:
        for contestant in contestants.values():
            contestant.close()
    absent = {f"PyTorch {name}": reason for name, reason in absent.items()}
    return Comparison(work, ("features", precision), values.pop("fmnist"), values, absent)


def measure(bench):
    return Part(
        "VGG16's features", "Images a second through the convolutions of VGG16, 32 x 32 pixels, of "
        f"{bench.options.feature_images:,} training images, weights drawn at random. fmnist's is "
        "the whole pass, with opening the model, resizing and normalising; PyTorch's batches are "
        "resized and normalised beforehand, its bf16 has weights and images in bf16.",
        [compare(bench, precision) for precision in bench.precisions()], bench.left_out())
