#!/usr/bin/env python3
"""Makes files of tests/fuzz/corpus: small sound ones of every kind, for fuzzing to begin with, and
hostile ones, each named by what is wrong with it. The others there were found by scripts/fuzz. What is
called sound... or harmless... must be read, all else must be refused.

    pip install numpy safetensors h5py onnx pillow
    tests/fuzz/make_corpus.py tests/fuzz/corpus
"""
import gzip
import io
import json
import pathlib
import struct
import sys
import zlib

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
    write("safetensors/harmless_empty", save({}))


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
    write("hdf5/sound_links_and_chunks", memory.getvalue())


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
    write("idx/sound_images", images)
    write("idx/sound_labels", labels)
    write("idx/sound_images_gz", gzip.compress(images[:16] + bytes(2 * 784), mtime=0))
    write("idx/sound_labels_gz", gzip.compress(labels, mtime=0))


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
        write(f"picture/sound_{name}", memory.getvalue())
    for mode in ("P", "L", "LA", "RGBA", "1", "I;16"):
        memory = io.BytesIO()
        if mode == "I;16":
            Image.fromarray(rng.integers(0, 65536, (5, 6), np.uint16)).save(memory, "PNG")
        else:
            picture.convert(mode).save(memory, "PNG")
        write(f"picture/sound_{mode.replace(';', '')}.png", memory.getvalue())
    memory = io.BytesIO()
    picture.convert("CMYK").save(memory, "JPEG")
    write("picture/sound_cmyk.jpg", memory.getvalue())


def recipes():
    write("recipe/sound_small", b'{"about": "x", "epochs": 2, "optimiser": "adamw", "learning_rate": 1e-3,'
          b' "models": {"simple": {"dropout": 0.5, "flip": true}}}')
    write("recipe/wrong", b'{"epochs": 2, "epochs": 3}')


def hostile_safetensors():
    def file(name, header, data=b"", length=None):
        text = header if isinstance(header, bytes) else json.dumps(
            header, separators=(",", ":")).encode()
        length = len(text) if length is None else length
        write(f"safetensors/{name}", struct.pack("<Q", length) + text + data)

    def tensor(shape, begin, end, dtype="F32"):
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}

    small = {"a": tensor([1], 0, 4)}
    ten_gigabytes = 10 ** 10
    file("header_of_2_64_bytes", small, bytes(4), 2 ** 64 - 1)
    file("header_of_2_64_less_8_bytes", small, bytes(4), 2 ** 64 - 8)
    file("header_of_ten_gigabytes", small, bytes(4), ten_gigabytes)
    file("header_of_more_than_the_file", small, b"", 1000)
    file("header_without_a_byte", b"", bytes(8))
    file("ten_gigabytes_claimed", {"a": tensor([ten_gigabytes // 4], 0, ten_gigabytes)}, bytes(900))
    file("product_of_dimensions_overflows", {"a": tensor([2 ** 33, 2 ** 31], 0, 0)})
    file("bits_of_the_elements_overflow", {"a": tensor([2 ** 59], 0, 0)})
    file("bits_of_the_elements_overflow_to_a_few", {"a": tensor([2 ** 58 + 1], 0, 8, "F64")},
         bytes(8))
    # Eight of 2^59 elements are 2^64 bytes as fp32; the counters, which are left out, have bytes.
    counters = {f"b{i}.num_batches_tracked": tensor([], 8 * i, 8 * i + 8, "I64") for i in range(8)}
    file("sum_of_the_elements_overflows",
         {f"a{i}": tensor([2 ** 59], 0, 0) for i in range(8)} | counters, b"A" * 64)
    file("offsets_outside", {"a": tensor([1], 100, 104)}, bytes(4))
    file("offsets_near_2_63", {"a": tensor([1], 2 ** 63 - 5, 2 ** 63 - 1)}, bytes(4))
    file("offsets_beyond_2_63", b'{"a":{"dtype":"F32","shape":[1],"data_offsets":'
         b'[18446744073709551612,0]}}', bytes(4))
    file("offsets_descend", {"a": tensor([1], 4, 0)}, bytes(4))
    file("offsets_overlap", {"a": tensor([1], 0, 4), "b": tensor([1], 2, 6)}, bytes(6))
    file("dimension_is_negative", {"a": tensor([-1], 0, 4)}, bytes(4))
    file("dimension_is_real", {"a": tensor([1.0], 0, 4)}, bytes(4))
    file("thousand_dimensions", {"a": tensor([1] * 1000, 0, 4)}, bytes(4))
    file("name_twice", b'{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},'
         b'"a":{"dtype":"F32","shape":[],"data_offsets":[4,8]}}', bytes(8))
    file("name_of_a_thousand_bytes", {"a" * 1000: tensor([1], 0, 4)}, bytes(4))
    file("name_with_a_null", {"a\0b": tensor([1], 0, 4)}, bytes(4))
    file("name_is_no_utf8", b'{"\xff":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4))
    file("metadata_is_nested", {"__metadata__": {"a": {"b": "c"}}})
    file("nested_three_thousand_deep", b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}")
    file("harmless_not_a_number", {"a": tensor([1], 0, 4)}, b"\0\0\xc0\x7f")


def hostile_onnx():
    def varint(number):
        out = b""
        while number >= 0x80:
            out += bytes([number & 0x7f | 0x80])
            number >>= 7
        return out + bytes([number])

    def file(name, *tensors, after=b""):
        graph = b"".join(field(5, tensor) for tensor in tensors)
        write(f"onnx/{name}", b"\x08\x07" + field(7, graph) + after)

    def tensor(dims, data=b"", kind=1, name=b"a"):
        return b"".join(b"\x08" + varint(d % 2 ** 64) for d in dims) + b"\x10" + bytes([kind]) + \
            field(8, name) + field(9, data)

    file("ten_gigabytes_claimed", tensor([2_500_000_000], bytes(900)))
    file("product_of_dimensions_overflows", tensor([2 ** 33, 2 ** 31]))
    file("bits_of_the_elements_overflow", tensor([2 ** 59]))
    file("dimension_is_negative", tensor([-1], bytes(4)))
    file("name_twice", tensor([1], bytes(4)), tensor([1], bytes(4)))
    file("harmless_name_with_a_null", tensor([1], bytes(4), name=b"a\0b"))
    file("name_is_no_utf8", tensor([1], bytes(4), name=b"\xff"))
    file("values_without_data", b"\x08\x04\x10\x01" + field(8, b"a"))
    file("harmless_half_values_out_of_range", b"\x08\x01\x10\x0a" + field(8, b"a") + field(
        5, varint(2 ** 64 - 1)))
    for name, length in {"ten_gigabytes": 10 ** 10, "2_63": 2 ** 63, "2_64": 2 ** 64 - 1}.items():
        write(f"onnx/message_of_{name}_bytes", b"\x08\x07\x3a" + varint(length) + bytes(100))
    write("onnx/length_of_eleven_bytes", b"\x08\x07\x3a" + b"\xff" * 10 + b"\1" + bytes(20))
    write("onnx/group_without_end", b"\x08\x07" + b"\x3b" * 100)
    write("onnx/harmless_two_thousand_empty_nodes", b"\x08\x07" + field(7, b"\x0a\0" * 2000))
    write("onnx/graph_twice", b"\x08\x07" + 2 * field(7, field(5, tensor([1], bytes(4)))))


def hostile_hdf5():
    def file(name, make, **options):
        memory = io.BytesIO()
        with h5py.File(memory, "w", **options) as opened:
            make(opened)
        write(f"hdf5/{name}", memory.getvalue())

    def elsewhere(opened):
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_external(b"/etc/hostname", 0, 8)
        h5py.h5d.create(opened.id, b"a", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((2,)), creation)

    def virtual(opened):
        layout = h5py.VirtualLayout((2,), np.float32)
        layout[:] = h5py.VirtualSource("other.h5", "a", (2,))
        opened.create_virtual_dataset("a", layout)

    def nested(opened):
        for _ in range(60):
            opened = opened.create_group("g")

    def circle(opened):
        opened.create_group("a/b")
        opened["a/b/c"] = opened["a"]

    def kinds(opened):
        opened["compound"] = np.zeros(2, [("x", "f4"), ("y", "i2")])
        opened["text"] = ["a", "b"]
        opened["reference"] = np.array([opened.ref], h5py.ref_dtype)
        opened["truth"] = np.array([True])
        opened["big_endian"] = np.arange(2, dtype=">f4")
        opened["none"] = h5py.Empty("f4")
        opened["type"] = np.dtype("f4")
        opened.create_dataset("no_elements", (0, 4), "f4")
        opened.attrs["layer_names"] = 7

    file("harmless_ten_gigabytes_claimed", lambda f: f.create_dataset("a", (2_500_000_000,), "f4"))
    file("harmless_ten_gigabytes_claimed_in_chunks", lambda f: f.create_dataset(
        "a", (2_500_000_000,), "f4", chunks=(1 << 20,), compression="gzip"))
    file("harmless_values_in_another_file", elsewhere)
    file("harmless_values_of_another_file", virtual, libver=("earliest", "v110"))
    file("groups_sixty_deep", nested, libver="latest")
    file("sound_circle_of_groups", circle)
    file("sound_of_other_types", kinds, libver=("earliest", "v110"))
    write("hdf5/signature_alone", b"\x89HDF\r\n\x1a\n")


def said():
    """What the process with libhdf5 says to the one without: struct fm_hdf5_record."""
    def record(kind, place, name, extra, dims=(), offset=0, stored=0, element=0, type=b"", filter=0):
        return struct.pack("<6I8q3Q16s", 0x7e5045 + kind, place, len(name), len(extra), len(dims), filter,
                           *dims, *[0] * (8 - len(dims)), offset, stored, element,
                           type) + name + extra

    tensor, text, failed, done = range(4)
    end = record(done, 0, b"", b"")
    values = record(tensor, 0, b"a", b"", (2, 3), 16, 24, 4, b"F32")
    write("hdf5_said/sound", values + record(tensor, 1, b"b", bytes(8), (2,), element=4, type=b"F32")
          + record(text, 0, b"key", b"value") + end)
    write("hdf5_said/sound_big_endian", b"".join(
        record(tensor, 0, b"a" + t, b"", (2,), 16, 2 * size, size, t) + record(
            tensor, 1, b"b" + t, bytes(2 * size), (2,), element=size, type=t)
        for t, size in ((b"F64BE", 8), (b"F32BE", 4), (b"F16BE", 2), (b"BF16BE", 2), (b"I64BE", 8))) + end)
    write("hdf5_said/harmless_filters", b"".join(record(
        tensor, 2, b"f%d" % f, b"", (2,), element=4, type=b"F32", filter=f)
        for f in (0, 1, 4, 32015, 99)) + end)
    write("hdf5_said/failed", values + record(failed, 0, b"", b"data set 'a'"))
    write("hdf5_said/harmless_places", b"".join(
        record(tensor, p, b"p%d" % p, b"", (2,), element=8, type=b"F64") for p in range(2, 7)) + end)
    write("hdf5_said/offset_outside", record(tensor, 0, b"a", b"", (1,), 2 ** 64 - 4, 4, 4, b"F32") + end)
    write("hdf5_said/bytes_of_the_elements_overflow", record(
        tensor, 0, b"a", b"", (2 ** 59,), 0, 0, 2 ** 5, b"I64") + end)
    write("hdf5_said/ten_gigabytes_claimed", record(
        tensor, 0, b"a", b"", (2_500_000_000,), 0, 10 ** 10, 4, b"F32") + end)
    write("hdf5_said/element_of_another_type", record(tensor, 0, b"a", b"", (8,), 0, 8, 1, b"F64") + end)
    write("hdf5_said/name_of_four_gigabytes", struct.pack("<4I", 0x7e5045, 0, 2 ** 32 - 1, 0) + bytes(128))
    write("hdf5_said/name_of_a_thousand_bytes", record(tensor, 0, b"a" * 1000, b"") + end)
    write("hdf5_said/text_of_four_gigabytes", struct.pack("<4I", 0x7e5046, 0, 1, 2 ** 32 - 1) + bytes(129))
    write("hdf5_said/values_of_four_gigabytes", struct.pack("<4I", 0x7e5045, 1, 1, 2 ** 32 - 1) + bytes(129))
    write("hdf5_said/place_of_none", record(tensor, 1000, b"a", b"") + end)
    write("hdf5_said/without_end", values)


def hostile_idx():
    def images(count, rows, columns):
        return struct.pack(">IIII", 0x803, count, rows, columns) + bytes(1000)

    ten_gigabytes = 10 ** 10 // 784
    for name, data in {
            "ten_gigabytes_claimed": images(ten_gigabytes, 28, 28),
            "largest_dimensions": images(2 ** 32 - 1, 65535, 65535),
            "sides_beyond_65535": images(1, 2 ** 32 - 1, 2 ** 32 - 1),
            "no_images": images(0, 28, 28),
            "header_alone": images(1, 28, 28)[:16]}.items():
        write(f"idx/{name}", data)
        write(f"idx/{name}_gz", gzip.compress(data, mtime=0))
    write("idx/members_without_bytes_gz", gzip.compress(b"", mtime=0) * 150)
    sound = gzip.compress(struct.pack(">II", 0x801, 3) + bytes([0, 1, 2]), mtime=0)
    write("idx/length_of_another_gz", sound[:-4] + b"\xff" * 4)
    write("idx/reserved_flags_gz", sound[:3] + b"\xff" + sound[4:])


def hostile_pictures():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data))

    def png(name, *chunks, width=1, height=1, data=b"\0\x80\x80\x80"):
        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        write(f"picture/{name}.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(
            chunks) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))

    # A directory of EXIF that is its own next, with an orientation whose value lies outside.
    circle = b"II*\0\x08\0\0\0\1\0\x12\1\3\0\x08\0\0\0\xff\xff\xff\xff\x08\0\0\0"
    png("ten_gigabytes_claimed", width=60000, height=60000)
    png("64_million_pixels_claimed", width=8192, height=8192)
    png("sides_of_2_32", width=2 ** 32 - 1, height=2 ** 32 - 1)
    png("harmless_text_of_eight_megabytes", chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(7_900_000), 9)))
    png("harmless_profile_of_eight_megabytes", chunk(
        b"iCCP", b"a\0\0" + zlib.compress(bytes(7_900_000), 9)))
    png("harmless_exif_in_a_circle", chunk(b"eXIf", circle))
    png("palette_of_no_colours", chunk(b"PLTE", b""))
    png("harmless_transparency_of_a_thousand", chunk(b"tRNS", bytes(1000)))

    def segment(marker, data):
        return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data

    def jpeg(name, scans, side=8, frame=0xc2, before=b""):
        """Grey, its only block empty, in scans of eleven bytes each."""
        write(f"picture/{name}.jpg", b"\xff\xd8" + before + segment(0xdb, bytes(65)) + segment(
            frame, struct.pack(">BHHBBBB", 8, side, side, 1, 1, 0x11, 0)) + segment(
                0xc4, bytes([0, 1] + [0] * 15) + b"\0") + segment(
                    0xc4, bytes([16, 1] + [0] * 15) + b"\0") + segment(
                        0xda, b"\1\1\0\0\0\0") + b"\x7f" + (
                            segment(0xda, b"\1\1\0\1\x3f\0") + b"\x7f") * scans + b"\xff\xd9")

    jpeg("sound_scans", 3)
    jpeg("two_hundred_scans", 200)
    jpeg("64_million_pixels_claimed", 3, side=8192)
    jpeg("four_thousand_million_pixels_claimed", 3, side=65535)
    jpeg("harmless_arithmetic", 3, side=256, frame=0xca)
    jpeg("without_loss", 3, frame=0xc3)
    jpeg("harmless_exif_in_a_circle", 3, before=segment(0xe1, b"Exif\0\0" + circle))
    jpeg("harmless_exif_of_a_few_bytes", 3, before=segment(0xe1, b"Exif\0\0I"))


def hostile_recipes():
    for name, text in {
            "nested_three_thousand_deep": b'{"models": ' + b"[" * 3000 + b"]" * 3000 + b"}",
            "objects_two_thousand_deep": b'{"a":' * 2100 + b"1" + b"}" * 2100,
            "key_twice": b'{"models": {"simple": {"epochs": 2, "epochs": 3}}}',
            "key_of_four_thousand_bytes": b'{"' + b"k" * 4000 + b'": 1}',
            "key_with_a_null": b'{"a\\u0000b": 1}',
            "key_is_no_utf8": b'{"\xff": 1}',
            "number_beyond_double": b'{"learning_rate": 1e400}',
            "number_beyond_64_bits": b'{"epochs": 99999999999999999999}',
            "number_beyond_int": b'{"train_eval": 4294967297}',
            "harmless_minus_zero":
                b'{"learning_rate": -0.0, "dropout": -0.0, "models": {"simple": {"erase": -0}}}',
            "harmless_smallest_number": b'{"learning_rate": 5e-324, "beta1": 0.999999}',
            "null_for_numbers": b'{"epochs": null}',
            "null_byte": b'{"epochs": 2}\0',
            "list": b"[]",
            "empty": b""}.items():
        write(f"recipe/{name}", text)


safetensors()
hdf5()
model()
idx()
pictures()
recipes()
write("planted/sound", b"harmless")
hostile_safetensors()
hostile_onnx()
hostile_hdf5()
said()
hostile_idx()
hostile_pictures()
hostile_recipes()
