#!/usr/bin/env python3
"""Keras's weights in, fine-tuned, and out again: keras_through.py FMNIST DATA_TINY

A file in the layout of Keras's VGG16 (of drawn values) goes into `fmnist train --mode finetune`; the
run goes out as ONNX, Keras and PyTorch model, and these give what `fmnist eval` says of the run.
"""

import os
import pathlib
import subprocess
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import onnxruntime
import torch

import shared
from tool import Tool, import_module

torch.set_num_threads(2)

# The base's values are drawn, so that some images are given to a class they are not of with all but
# certainty: their logarithms show the rounding of fp32, differently on each kind of processor.
NLL_MOST = 5e-5


def by_onnx(folder, images):
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"images": images})[0]


def by_keras(folder, images):
    model = keras.models.load_model(folder / "model.h5", compile=False)
    return model.predict(images[..., None], batch_size=50, verbose=0)


def by_torch(folder, images):
    net = import_module(folder / "model.py").load(folder / "model.safetensors")
    with torch.no_grad():
        parts = torch.from_numpy(images.copy()).split(50)
        return torch.cat([net(part) for part in parts]).softmax(1).numpy()


OUT = (("onnx", by_onnx, f"ONNX Runtime {onnxruntime.__version__}"),
       ("h5", by_keras, f"Keras {keras.__version__}"),
       ("safetensors", by_torch, f"PyTorch {torch.__version__.split('+')[0]}"))


def main():
    program, tiny = sys.argv[1:]
    images = shared.read_idx(tiny, "t10k-images-idx3-ubyte")
    labels = shared.read_idx(tiny, "t10k-labels-idx1-ubyte")
    with Tool(program) as tool:
        weights = tool.folder / "vgg16_notop.h5"
        here = pathlib.Path(__file__).parent
        subprocess.run(
            [sys.executable, here / "keras_vgg16_notop.py", "make", weights], check=True)
        run = tool.train("run", "--model", "vgg16", "--weights", weights, "--mode", "finetune",
                         "--data", tiny)
        expected = tool.evaluate(run, tiny)
        assert expected["count"] == len(images)
        for form, by, versions in OUT:
            found = by(tool.export(run, form), images)
            correct = int((found.argmax(1) == labels).sum())
            nll = float(-np.log(found[np.arange(len(labels)), labels].astype(np.float64)).mean())
            what = f"vgg16 fine-tuned from Keras's weights, exported as {form}"
            shared.result(f"{what}: images of {len(images):,} classified otherwise "
                          f"({correct:,} right)", versions, abs(correct - expected["correct"]), 0)
            shared.result(f"{what}: nll", versions, abs(nll - expected["nll"]), NLL_MOST)
    shared.finish()


main()
