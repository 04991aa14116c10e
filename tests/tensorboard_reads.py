# Reads runs' event files as TensorBoard from PyPI does and holds them against the runs' own files.
#
#   tensorboard_reads.py RUN...    each RUN a finished run folder
#
# Exit status 77: this Python has no TensorBoard. Written against TensorBoard 2.21.
import json
import math
import os
import struct
import sys

try:
    from tensorboard.backend.event_processing import event_accumulator, plugin_event_accumulator
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
    from tensorboard.util import tensor_util
except ImportError as error:
    print(f"SKIP: {sys.executable} cannot read event files: {error}")
    sys.exit(77)

EPOCH_TAGS = {
    "train/loss": "loss",
    "train/accuracy": "accuracy",
    "select/loss": "select_nll",
    "select/accuracy": "select_accuracy",
    "learning_rate": "learning_rate",
}


def fail(message):
    print(f"FAILED: {message}")
    sys.exit(1)


def expect(what, found, expected):
    if found != expected:
        fail(f"{what}: TensorBoard reads {found}, expected {expected}")


def fp32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def expected_scalars(run):
    with open(os.path.join(run, "log.jsonl")) as log:
        epochs = [json.loads(line) for line in log]
    with open(os.path.join(run, "result.json")) as file:
        result = json.load(file)
    scalars = {
        tag: [(line["step"], fp32(line[key])) for line in epochs if line[key] is not None]
        for tag, key in EPOCH_TAGS.items()
    }
    scalars["test/accuracy"] = [(result["steps"], fp32(result["test"]["accuracy"]))]
    scalars["test/loss"] = [(result["steps"], fp32(result["test"]["nll"]))]
    return [line["step"] for line in epochs], {k: v for k, v in scalars.items() if v}, result


def check(run):
    steps, expected, result = expected_scalars(run)
    size = {"scalars": 0, "images": 0, "tensors": 0}  # all, none sampled away

    # The reader of the scripts that people write.
    old = event_accumulator.EventAccumulator(run, size_guidance=size)
    old.Reload()
    tags = set(old.Tags()["scalars"])
    expect(f"{run}: the scalars", sorted(tags), sorted([*expected, "images_per_second"]))
    for tag, points in expected.items():
        expect(f"{run}: {tag}", [(e.step, e.value) for e in old.Scalars(tag)], points)
    speeds = old.Scalars("images_per_second")
    expect(f"{run}: steps of images_per_second", [e.step for e in speeds], steps)
    if not all(math.isfinite(e.value) and e.value > 0 for e in speeds):
        fail(f"{run}: images_per_second {speeds}")
    pictures = old.Images("test/confusion")
    expect(f"{run}: confusion matrices", [e.step for e in pictures], [result["steps"]])
    with open(os.path.join(run, "confusion-test.png"), "rb") as file:
        if pictures[0].encoded_image_string != file.read():
            fail(f"{run}: the picture is not confusion-test.png")

    # The reader behind the page.
    new = plugin_event_accumulator.EventAccumulator(run, size_guidance={"tensors": 0})
    new.Reload()
    for tag, points in expected.items():
        found = [(e.step, float(tensor_util.make_ndarray(e.tensor_proto))) for e in new.Tensors(tag)]
        expect(f"{run}: {tag} of the page", found, points)
        expect(f"{run}: plugin of {tag}", new.SummaryMetadata(tag).plugin_data.plugin_name, "scalars")
    texts = new.Tensors("hparams/text_summary")
    expect(f"{run}: texts", [e.step for e in texts], [0])
    text = tensor_util.make_ndarray(texts[0].tensor_proto)[0].decode()
    for row in (f"| model | {result['model']} |", f"| seed | {result['seed']} |", "| recipe: epochs | "):
        if row not in text:
            fail(f"{run}: '{row}' is not in the text: {text}")
    walls = [e.wall_time for e in new.Tensors("train/loss")]
    if walls != sorted(walls):
        fail(f"{run}: times run backwards: {walls}")

    paths = sorted(name for name in os.listdir(run) if "tfevents" in name)
    events = [e for name in paths for e in LegacyEventFileLoader(os.path.join(run, name)).Load()]
    if any(e.file_version != "brain.Event:2" for e in events if e.HasField("file_version")):
        fail(f"{run}: an event file of another version")
    starts = sum(event.HasField("session_log") for event in events)
    print(f"{run}: {len(steps)} epochs, {len(events)} events, {starts} starts, as expected")


for folder in sys.argv[1:]:
    check(folder)
