"""Peak memory of training beside PyTorch: a part of scripts/bench-vs.

The largest resident set of the whole process, libraries and data included: of fmnist as the kernel
tells it of a child that has ended, of PyTorch as it reads it of itself, so that the compilers that
torch.compile starts do not count, and without what is resident of its libraries for a GPU, which
somebody without one can do without. Each holds the images to train on as bytes and the weights
once, not those of the best epoch beside them; PyTorch holds a few normalised batches, too, fmnist
the images to test on.
"""

import os
import pathlib
import subprocess
import tempfile

from bench_common import Comparison, Contestant, Failed, Part, last_line, say
from bench_train import fmnist_arguments, pytorch_arguments

MODELS = ("deeper",)
STEPS = 4
CONFIGURATIONS = {
    "PyTorch eager": ("contiguous", False),
    "PyTorch eager, channels_last": ("channels_last", False),
    "PyTorch compiled, channels_last": ("channels_last", True),
}


def fmnist_peak(bench, model, precision):
    """In bytes."""
    with tempfile.TemporaryDirectory(dir=bench.scratch) as parent, \
            tempfile.TemporaryFile("w+") as errors:
        arguments = fmnist_arguments(
            bench, model, precision, STEPS, bench.options.data, pathlib.Path(parent, "run"))
        arguments += ["--keep", "last"]
        process = subprocess.Popen(
            [bench.options.fmnist, *map(str, arguments)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            raise Failed(f"fmnist train: {last_line(errors.read(), process.returncode)}")
        return usage.ru_maxrss * 1024


def pytorch_peak(bench, model, precision, layout, compiled):
    arguments = pytorch_arguments(bench, model, precision, layout, compiled, STEPS)
    contestant = Contestant(
        "bench_pytorch.py", [*arguments, "--all-images"], bench.options.threads)
    try:
        answer = contestant.ask(steps=STEPS)
        return answer["peak_memory"] - answer["gpu_libraries"]
    finally:
        contestant.close()


def compare(bench, model, precision):
    work = f"{model}, {precision}"
    say(f"{work}: peak memory of fmnist")
    ours, theirs, absent = fmnist_peak(bench, model, precision), {}, {}
    for name, (layout, compiled) in CONFIGURATIONS.items():
        say(f"{work}: peak memory of {name}")
        try:
            theirs[name] = [pytorch_peak(bench, model, precision, layout, compiled)]
        except Failed as error:
            absent[name] = f"failed: {error}"
    if not theirs:
        raise Failed(f"no configuration of PyTorch runs here: {'; '.join(absent.values())}")
    return Comparison(work, ("memory", model, precision), [ours], theirs, absent, less=True,
                      share=True, figure=lambda value: f"{value / 2**20:,.0f} MiB")


def measure(bench):
    comparisons = [compare(bench, model, precision)
                   for model in bench.models(MODELS) for precision in bench.precisions()]
    return Part(
        "Peak memory in training",
        f"The largest resident set of the whole process, training at batch {bench.options.batch}; "
        "the ratio is to PyTorch's most frugal configuration, without what is resident of its "
        "libraries for a GPU. Each holds the images to train on as bytes, PyTorch a few normalised "
        "batches of them, too, fmnist those to test on. Each holds the weights once: fmnist trains "
        "with --keep last.", comparisons, bench.left_out())
