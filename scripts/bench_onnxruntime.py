#!/usr/bin/env python3
"""One contestant of scripts/bench-vs: ONNX Runtime predicting with one network.

Opens its sessions and says so in a line of JSON. Then, for each line with a configuration, a batch
size and seconds on standard input, runs batches for so long, after a tenth of it to warm up, and
answers with percentiles of the times in a line of JSON.
"""

import argparse
import gzip
import json
import pathlib
import sys
import time

import numpy
import onnxruntime

IMAGES = 1024
FEWEST_RUNS = 3


def open_session(options, best):
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    if best:
        settings.inter_op_num_threads = 1
        settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        settings.add_session_config_entry("session.set_denormal_as_zero", "1")
    return onnxruntime.InferenceSession(
        str(options.network), settings, providers=["CPUExecutionProvider"])


def load_images(directory):
    with gzip.open(directory / "t10k-images-idx3-ubyte.gz") as file:
        pixels = file.read(16 + IMAGES * 784)[16:]
    return numpy.frombuffer(pixels, numpy.uint8).reshape(-1, 28, 28)


def plain_run(session, batches):
    """A function that runs the batch of a number."""
    name = session.get_inputs()[0].name
    outputs = [session.get_outputs()[0].name]
    return lambda i: session.run(outputs, {name: batches[i % len(batches)]})


def bound_run(session, batches):
    """The same with input and output bound beforehand: nothing is looked up or allocated."""
    name, answer = session.get_inputs()[0].name, session.get_outputs()[0].name
    classes = session.run([answer], {name: batches[0]})[0].shape[1]
    bindings = []
    for batch in batches:
        binding = session.io_binding()
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(batch))
        binding.bind_ortvalue_output(answer, onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            [len(batch), classes], numpy.float32))
        bindings.append(binding)
    return lambda i: session.run_with_iobinding(bindings[i % len(bindings)])


def times_of(run, seconds):
    """Each run's, in seconds."""
    times, end = [], time.perf_counter() + seconds
    while len(times) < FEWEST_RUNS or time.perf_counter() < end:
        begin = time.perf_counter()
        run(len(times))
        times.append(time.perf_counter() - begin)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--network", type=pathlib.Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    options = parser.parse_args()

    images = load_images(options.data)
    sessions = {"default": open_session(options, False), "tuned": open_session(options, True)}
    configurations = {}
    for name, session in sessions.items():
        configurations[name] = session, plain_run
        configurations[f"{name}, bound"] = session, bound_run
    print(json.dumps({"onnxruntime": onnxruntime.__version__,
                      "configurations": list(configurations)}), flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        session, make_run = configurations[question["configuration"]]
        batch = question["batch"]
        run = make_run(session, [images[i:i + batch] for i in range(0, IMAGES, batch)])
        times_of(run, question["seconds"] / 10)
        times = times_of(run, question["seconds"])
        p50, p90, p99 = (float(numpy.percentile(times, p)) for p in (50, 90, 99))
        print(json.dumps({"runs": len(times), "p50": p50, "p90": p90, "p99": p99}), flush=True)


if __name__ == "__main__":
    main()
