#!/usr/bin/env python3
"""Makes the first files of tests/fuzz/corpus: small sound ones of every kind, for fuzzing to begin
with. The others there were found by scripts/fuzz or are named by what is wrong with them.

    pip install numpy safetensors h5py onnx pillow
    tests/fuzz/make_corpus.py tests/fuzz/corpus
"""
import gzip
import io
import pathlib
import struct
import sys

import h5py
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import save

root = pathlib.Path(sys.argv[1])
rng = np.random.default_rng(7)


def write(name, data):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def safetensors():
    tensors = {"conv1.weight": rng.standard_normal((2, 1, 3, 3)).astype(np.float32),
               "bn1.num_batches_tracked": np.array(3, np.int64),
               "fc.bias": np.arange(4, dtype=np.float16)}
    write("safetensors/sound", save(tensors, metadata={
        "fmnist_format": "2", "model": "simple", "classes": "2", "class_names": '["a", "b"]',
        "input_mean": "0.3", "input_deviation": "[0.1, 0.2, 0.3]"}))
    write("safetensors/empty", save({}))


def hdf5():
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver="earliest") as file:
        group = file.create_group("block1_conv1")
        group["block1_conv1_W_1:0"] = rng.standard_normal((3, 3, 1, 2)).astype(np.float32)
        group["block1_conv1_b_1:0"] = np.zeros(2, np.float64)
        file.attrs["layer_names"] = [b"block1_conv1"]
        file.attrs["backend"] = "tensorflow"
    write("hdf5/sound", memory.getvalue())
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.create_dataset("chunked", data=np.zeros((8, 8), np.float32), chunks=(4, 4),
                            compression="gzip")
        file["link"] = h5py.SoftLink("/link")
        file["outside"] = h5py.ExternalLink("other.h5", "/x")
        file["again"] = file["/"]
    write("hdf5/links_and_chunks", memory.getvalue())


def model():
    weight = numpy_helper.from_array(rng.standard_normal((4, 3)).astype(np.float32), "fc1.weight")
    half = helper.make_tensor("half", TensorProto.FLOAT16, [2], [1, 2])
    plain = helper.make_tensor("plain", TensorProto.FLOAT, [2], [0.5, 1])
    inner = helper.make_graph([], "inner", [], [])
    nodes = [helper.make_node("MatMul", ["x", "fc1.weight"], ["y"]),
             helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)]
    graph = helper.make_graph(
        nodes, "graph", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])], [weight, half, plain])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="t")
    helper.set_model_props(made, {"classes": '["a"]'})
    write("onnx/sound", made.SerializeToString())
    graph.initializer[0].data_location = TensorProto.EXTERNAL
    write("onnx/external", helper.make_model(graph).SerializeToString())
    write("onnx/deep", b"\x08\x07" + field(7, nested(200)))


def field(number, payload):
    """A field of protobuf's wire format with a length."""
    head, length = bytes([number << 3 | 2]), len(payload)
    while length >= 0x80:
        head += bytes([length & 0x7f | 0x80])
        length >>= 7
    return head + bytes([length]) + payload


def nested(depth):
    """A graph in an attribute of a node of a graph, so often: deeper than libraries write."""
    graph = b""
    for _ in range(depth):
        graph = field(1, field(5, field(6, graph)))
    return graph


def idx():
    images = struct.pack(">IIII", 0x803, 2, 28, 28) + rng.integers(
        0, 256, 2 * 784, np.uint8).tobytes()
    labels = struct.pack(">II", 0x801, 3) + bytes([0, 1, 2])
    write("idx/images", images)
    write("idx/labels", labels)
    write("idx/images_gz", gzip.compress(images[:16] + bytes(2 * 784), mtime=0))
    write("idx/labels_gz", gzip.compress(labels, mtime=0))


def pictures():
    picture = Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8))
    for name, options in {"rgb.png": {}, "baseline.jpg": {},
                          "progressive.jpg": {"progressive": True}}.items():
        memory = io.BytesIO()
        if name.endswith("jpg"):
            exif = Image.Exif()
            exif[0x112] = 6
            picture.save(memory, "JPEG", exif=exif, **options)
        else:
            picture.save(memory, "PNG", **options)
        write(f"picture/{name}", memory.getvalue())
    for mode in ("P", "L", "LA", "RGBA", "1", "I;16"):
        memory = io.BytesIO()
        if mode == "I;16":
            Image.fromarray(rng.integers(0, 65536, (5, 6), np.uint16)).save(memory, "PNG")
        else:
            picture.convert(mode).save(memory, "PNG")
        write(f"picture/{mode.replace(';', '')}.png", memory.getvalue())
    memory = io.BytesIO()
    picture.convert("CMYK").save(memory, "JPEG")
    write("picture/cmyk.jpg", memory.getvalue())


def recipes():
    write("recipe/small", b'{"about": "x", "epochs": 2, "optimiser": "adamw", "learning_rate": 1e-3,'
          b' "models": {"simple": {"dropout": 0.5, "flip": true}}}')
    write("recipe/wrong", b'{"epochs": 2, "epochs": 3}')


safetensors()
hdf5()
model()
idx()
pictures()
recipes()
write("planted/sound", b"harmless")
