"""What the scripts of this folder that check something have in common."""

import gzip
import pathlib
import sys

import numpy as np

failures = 0


def check(what, found, most):
    """The difference `found` must be `most` at most; a NaN is none."""
    global failures
    if not found <= most:
        failures += 1
        print(f"FAILED: {what}: {found:.2g}, at most {most:g}", flush=True)


def vgg16_layers():
    """Our names of VGG16's convolutions, ReLUs and pools, in order."""
    names = []
    for block, convolutions in enumerate((2, 2, 3, 3, 3), 1):
        for i in range(1, convolutions + 1):
            names += [f"conv{block}_{i}", f"relu{block}_{i}"]
        names.append(f"pool{block}")
    return names


def result(what, versions, found, most):
    """check(), and a line that scripts/test --references makes a row of docs/results of."""
    check(what, found, most)
    print(f"result: {what} | {versions} | {found:.2g} | {most:g}", flush=True)


def relative(found, expected):
    """The relative L2 distance."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        raise SystemExit(f"shapes {found.shape} and {expected.shape}")
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def softmax(logits):
    e = np.exp(np.asarray(logits, np.float64) - np.max(logits, axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def read_idx(directory, name):
    """A file of a data set in MNIST's format, with or without .gz."""
    path = pathlib.Path(directory, name)
    data = path.read_bytes() if path.exists() else gzip.open(f"{path}.gz").read()
    dims = [int.from_bytes(data[4 + 4 * i:8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(dims)).reshape(dims)


def finish():
    sys.exit(1 if failures else 0)
