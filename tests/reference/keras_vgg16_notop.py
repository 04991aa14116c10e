#!/usr/bin/env python3
"""VGG16 of keras.applications with drawn weights, in the layout of
vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5.

    keras_vgg16_notop.py make FILE              writes the file, by h5py
    keras_vgg16_notop.py check FILE EXPECTED    the network that Keras itself loads from FILE, on
                             EXPECTED's images (tests/reference/drawn.h), layer by layer
"""

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")

import h5py
import numpy as np

import shared

CONVOLUTIONS = [
    (f"block{block}_conv{i}", channels)
    for block, (count, channels) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1)
    for i in range(1, count + 1)
]


def layer_names():
    """As the file's attribute has them, pools among them."""
    names = []
    for i, (name, _) in enumerate(CONVOLUTIONS):
        names.append(name)
        block = name[:6]
        if i + 1 == len(CONVOLUTIONS) or not CONVOLUTIONS[i + 1][0].startswith(block):
            names.append(f"{block}_pool")
    return names


def make(path):
    draws = np.random.default_rng(12)
    inputs = 3
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layer_names()]
        for name in layer_names():
            file.create_group(name).attrs["weight_names"] = np.array([], "S1")
        for name, outputs in CONVOLUTIONS:
            bound = np.sqrt(6 / (9 * inputs))
            kernel = draws.uniform(-bound, bound, (3, 3, inputs, outputs)).astype(np.float32)
            bias = draws.uniform(-0.2, 0.2, outputs).astype(np.float32)
            weights = {f"{name}_W_1:0": kernel, f"{name}_b_1:0": bias}
            for key, value in weights.items():
                file[name].create_dataset(key, data=value)
            file[name].attrs["weight_names"] = [key.encode() for key in weights]
            inputs = outputs


def check(path, expected_path):
    import keras
    import torch
    from safetensors.numpy import load_file

    torch.set_num_threads(2)
    expected = load_file(expected_path)
    few, _, side, _ = expected["input"].shape
    model = keras.applications.VGG16(
        include_top=False, weights=None, input_shape=(side, side, 3))
    model.load_weights(path)

    images = expected["images"][:few].reshape(few, 28, 28, 1).repeat(3, axis=3)
    resized = keras.layers.Resizing(side, side, interpolation="bilinear")(images)
    x = keras.applications.vgg16.preprocess_input(keras.ops.convert_to_numpy(resized))
    worst = shared.relative(expected["input"], x.transpose(0, 3, 1, 2))
    # Keras's convolutions have their ReLU in them.
    shown = [name for name in shared.vgg16_layers() if not name.startswith("conv")]
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    assert len(layers) == len(shown), [layer.name for layer in layers]
    outputs = keras.Model(model.inputs, [layer.output for layer in layers]).predict(x, verbose=0)
    for name, output in zip(shown, outputs):
        found = shared.relative(expected[name], output.transpose(0, 3, 1, 2))
        shared.check(f"keras, {name}", found, 1e-5)
        worst = max(worst, found)
    features = outputs[-1].mean(axis=(1, 2))
    worst = max(worst, shared.relative(expected["mean"].reshape(features.shape), features))
    shared.result(f"vgg16 at {side}x{side} from Keras's weights, the worst layer (relative)",
                  f"Keras {keras.__version__}, keras.applications", worst, 1e-5)


def main():
    action, *arguments = sys.argv[1:]
    {"make": make, "check": check}[action](*arguments)
    shared.finish()


main()
