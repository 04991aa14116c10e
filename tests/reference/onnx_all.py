#!/usr/bin/env python3
"""Networks trained here, in ONNX Runtime: onnx_all.py FMNIST DATA_TINY REFERENCE_LOGITS

Each model is trained for a little on the data set that the tool finds (else on data/tiny), exported,
checked by ONNX's own checker, and run on all its test images, raw as they are: the same logits and the
same accuracy, whatever the batch. VGG16 at a size of its own is held to data/tiny's images.
"""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

import shared
from tool import Tool

ONNX = f"onnx {onnx.__version__}"
RUNTIME = f"ONNX Runtime {onnxruntime.__version__}"
BATCHES = (1, 7, 256)
MODELS = (("simple", ()), ("deeper", ()), ("vgg16", ()), ("vgg16 at 48x48", ("--input-size", 48)),
          ("simple-ref", ()))


def run_all(path, images):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = []
    for at in range(0, len(images), BATCHES[-1]):
        found.append(session.run(["logits", "probabilities"],
                                 {"images": images[at:at + BATCHES[-1]]}))
    logits, probabilities = (np.concatenate(parts) for parts in zip(*found))
    for batch in BATCHES[:-1]:
        again = session.run(["logits"], {"images": images[:batch]})[0]
        shared.check(f"{path}: logits in a batch of {batch}", np.abs(again - logits[:batch]).max(),
                     1e-4)
    return logits, probabilities


def check(tool, name, options, data, dump):
    run = tool.train(name.replace(" ", "-"), "--model", name.split()[0], *options, "--data", data,
                     "--epoch-images", 2560 if name.startswith("simple") else 640)
    tool.run("export", run, "--format", "onnx")
    path = run / "export" / "model.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    images = shared.read_idx(data, "t10k-images-idx3-ubyte")
    labels = shared.read_idx(data, "t10k-labels-idx1-ubyte")
    out = tool.folder / "logits.safetensors"
    subprocess.run([dump, run / "model.safetensors", data, out], check=True)
    ours = load_file(out)["logits"]
    logits, probabilities = run_all(path, images)
    what = f"{name}, {len(images):,} test images"
    shared.result(f"{what}: logits, largest difference", f"{ONNX}, {RUNTIME}",
                  float(np.abs(logits - ours).max()), 1e-4)
    shared.check(f"{what}: probabilities", float(np.abs(probabilities
                                                        - shared.softmax(ours)).max()), 1e-5)
    expected = json.loads((run / "result.json").read_text())["test"]
    correct = int((probabilities.argmax(1) == labels).sum())
    shared.result(f"{what}: images classified otherwise ({correct:,} right)", RUNTIME,
                  abs(correct - expected["correct"]), 0)
    told = {pair.key: pair.value for pair in model.metadata_props}
    accuracy = float(told["test_accuracy"])
    shared.check(f"{what}: the accuracy in the file", abs(accuracy - expected["accuracy"]), 1e-6)


def main():
    program, tiny, dump = sys.argv[1:]
    with Tool(program) as tool:
        data = tool.whole_data(tiny)
        for name, options in MODELS:
            check(tool, name, options, tiny if options else data, dump)
    shared.finish()


main()
