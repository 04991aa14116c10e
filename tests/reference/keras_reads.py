#!/usr/bin/env python3
"""Loads exported models in Keras: keras_reads.py FOLDER..., each with model.h5 and
expected.safetensors (tests/reference/drawn.h). Probabilities of all images, and every layer's
output of the first few.
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")

import h5py
import keras
import numpy as np
import torch
from safetensors.numpy import load_file

import shared

torch.set_num_threads(2)
VERSIONS = f"Keras {keras.__version__}, {keras.backend.backend()} {torch.__version__.split('+')[0]}"


def check_notes(path):
    """What stands beside the model in the file."""
    with h5py.File(path) as file:
        names = json.loads(file.attrs["fmnist_class_names"])
        assert names[0] == "T-shirt/top" and names[9] == 'Ankle "boot" été', names
        assert file.attrs["fmnist_test_accuracy"] == "0.9321"


def check_layers(model, expected, name):
    # Keras counts [rows, columns, channels], ours [channels, rows, columns].
    layers = {layer.name: layer for layer in model.layers}
    shown = [key for key in expected if key in layers]
    assert len(shown) == len(expected) - len(("images", "logits", "input")), shown
    inputs = layers["resize" if "resize" in layers else "normalise"]
    few = expected[shown[0]].shape[0]
    probe = keras.Model(model.inputs, [inputs.output] + [layers[key].output for key in shown])
    outputs = probe.predict(images_of(expected)[:few], batch_size=few, verbose=0)
    worst = 0.0
    for key, output in zip(["input"] + shown, outputs):
        if output.ndim == 4:
            output = output.transpose(0, 3, 1, 2)
        found = shared.relative(output.reshape(expected[key].shape), expected[key])
        shared.check(f"{name}, {key}", found, 1e-5)
        worst = max(worst, found)
    shared.result(f"{name} exported to Keras, the worst layer (relative)", VERSIONS, worst, 1e-5)


def images_of(expected):
    return expected["images"].astype(np.uint8).reshape(-1, 28, 28, 1)


def main():
    for folder in map(pathlib.Path, sys.argv[1:]):
        model = keras.models.load_model(folder / "model.h5")
        expected = load_file(folder / "expected.safetensors")
        found = model.predict(images_of(expected), batch_size=50, verbose=0)
        logits = expected["logits"].reshape(len(found), -1)
        difference = float(np.abs(found - shared.softmax(logits)).max())
        shared.result(f"{folder.name} exported to Keras, probabilities", VERSIONS, difference, 1e-4)
        check_layers(model, expected, folder.name)
        check_notes(folder / "model.h5")
        trained = [layer.name for layer in model.layers if not layer.trainable]
        assert trained == ["normalise"], trained
    shared.finish()


main()
