"""Start beside ONNX Runtime: a part of scripts/bench-vs.

From starting the process to the first line of its answer: `fmnist predict RUN image.png`, and a
Python that imports ONNX Runtime, opens the same network and runs it once, on an image that it does
not have to read. Each starts once before the clock, so that files are in the system's cache.
"""

import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib

from bench_common import Comparison, Failed, Part, last_line, say, take_turns

MODELS = ("simple", "deeper")
STARTS = 5  # a round
REFERENCE = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2])
options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, sys.argv[3])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
image = numpy.zeros((1, 28, 28), numpy.uint8)
outputs = [session.get_outputs()[0].name]
probabilities, = session.run(outputs, {session.get_inputs()[0].name: image})
print(probabilities[0].argmax(), flush=True)
"""
IMPORTS = "import numpy, onnxruntime; print(0, flush=True)"
CONFIGURATIONS = {
    "ONNX Runtime": "ORT_ENABLE_ALL",
    "ONNX Runtime, graph not optimised": "ORT_DISABLE_ALL",
}


def write_png(path, rows):
    """An 8-bit grey picture."""
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))

    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    pixels = b"".join(b"\0" + bytes(row) for row in rows)  # each row's filter: none
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
                     + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b""))


def first_answer(command):
    """Seconds to the first line."""
    with tempfile.TemporaryFile("w+") as errors:
        begin = time.perf_counter()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=errors, text=True) as process:
            line = process.stdout.readline()
            seconds = time.perf_counter() - begin
            process.stdout.read()
        if process.returncode != 0 or not line:
            errors.seek(0)
            raise Failed(f"{command[0]}: {last_line(errors.read(), process.returncode)}")
        return seconds


def milliseconds(value):
    return f"{value * 1000:,.1f} ms"


def compare(bench, model, image):
    threads = str(bench.options.threads)
    commands = {"fmnist": [
        bench.options.fmnist, "predict", str(bench.run(model)), str(image), "--backend", "cpu",
        "--threads", threads, "--format", "json", "--quiet"]}
    commands |= {name: [sys.executable, "-c", REFERENCE, str(bench.onnx(model)), threads, level]
                 for name, level in CONFIGURATIONS.items()}
    say(f"{model}, start: once each, to fill the system's cache")
    for command in commands.values():
        first_answer(command)
    turns = {name: lambda command=command: statistics.median(
        first_answer(command) for _ in range(STARTS)) for name, command in commands.items()}
    turns["imports"] = lambda: statistics.median(
        first_answer([sys.executable, "-c", IMPORTS]) for _ in range(STARTS))
    values = take_turns(f"{model}, start", turns, bench.options.rounds, milliseconds)
    imports = statistics.median(values.pop("imports"))
    return Comparison(model, ("start", model), values.pop("fmnist"), values, less=True,
                      share=True, figure=milliseconds), imports


def measure(bench):
    image = bench.scratch / "image.png"
    results = []
    write_png(image, [[(row * column) % 256 for column in range(28)] for row in range(28)])
    for model in bench.models(MODELS):
        results.append(compare(bench, model, image))
    return Part(
        "Start", "From starting the process to its first answer, a round being the median of "
        f"{STARTS} starts: `fmnist predict RUN image.png`, and Python importing ONNX Runtime, "
        "opening the exported network and running it once on an image that is in memory.",
        [comparison for comparison, _ in results],
        [["Of the others' time Python and its imports of numpy and ONNX Runtime, with nothing "
          "behind them, took: " + "; ".join(
              f"{comparison.work} {milliseconds(imports)}" for comparison, imports in results)
          + "."]])
