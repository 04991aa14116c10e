#!/usr/bin/env python3
"""Files of tensors of every type, by the real packages: the same values in each.

    tensor_types.py SAFETENSORS HDF5 KERAS

KERAS: weights of a small model of Keras 3, as it saves them to .weights.h5.
"""

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")

import h5py
import keras
import numpy as np
import torch
from safetensors.torch import save_file

# Exact in every floating type: -2, -1.75, ..., 0.75
VALUES = np.arange(-8, 4).reshape(3, 4) / 4

TORCH = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
NUMPY = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U64": "u8",
    "U32": "u4",
    "U16": "u2",
    "U8": "u1",
    "BOOL": "?",
}


BIG = ("F64", "F32", "F16")


def main(safetensors, hdf5, weights):
    tensors = {name: torch.from_numpy(VALUES).to(dtype) for name, dtype in TORCH.items()}
    save_file(tensors, safetensors, metadata={"format": "pt"})

    with h5py.File(hdf5, "w") as file:
        for name, dtype in NUMPY.items():
            file[f"group/{name}"] = VALUES.astype(dtype)
        for name in BIG:
            file[f"big/{name}"] = VALUES.astype(">" + NUMPY[name])
        file.create_dataset("packed", data=VALUES, compression="gzip")
        file.create_dataset("latest", data=VALUES.astype("f4"), track_times=True)
        file.attrs["keras_version"] = "2.4.0"
        file.attrs["layer_names"] = [b"conv1", b"pool1"]
        file.attrs["texts"] = ["d\u00e9j\u00e0", "vu"]
    # The newest form of the format, which has other structures for everything.
    with h5py.File(hdf5 + ".latest", "w", libver="latest") as file:
        for name in ("F64", "F32", "F16"):
            file[f"group/{name}"] = VALUES.astype(NUMPY[name])

    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])
    model.layers[0].set_weights([VALUES.T, np.arange(3)])
    model.save_weights(weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
