#!/usr/bin/env python3
"""One contestant of scripts/bench-vs: PyTorch training one model in one configuration.

Builds the model, takes one step (which compiles, in the compiled configurations) and says so in a
line of JSON. Then, for each line of JSON with a number of steps on standard input, takes three
steps more to warm up, times that many and answers with a line of JSON. Waits without using the
processor.
"""

import argparse
import gzip
import json
import pathlib
import sys
import time

import torch
from torch import nn

WARM_UP = 3
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def build_model(name):
    def conv_bn(inputs, outputs):
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

    if name == "simple":
        return nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Dropout(0.25), nn.Flatten(), nn.Linear(64 * 12 * 12, 128), nn.ReLU(),
            nn.Dropout(0.5), nn.Linear(128, 10))
    if name == "deeper":
        layers, inputs = [], 1
        for outputs in (64, 128, 256):
            layers += conv_bn(inputs, outputs) + conv_bn(outputs, outputs) + [nn.MaxPool2d(2)]
            inputs = outputs
        return nn.Sequential(
            *layers, nn.Dropout(0.5), nn.Flatten(), nn.Linear(256 * 3 * 3, 1024), nn.ReLU(),
            nn.Linear(1024, 256), nn.ReLU(), nn.Linear(256, 10))
    layers, inputs = [], 3
    for outputs, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 256), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(256, 10))


def read_idx(path, header, size):
    """The first `size` bytes behind the header, and no more: they count as memory in use."""
    with gzip.open(path) as file:
        file.read(header)
        return bytearray(file.read(size))


def load_batches(directory, count, batch, model, memory_format):
    """Normalised batches in memory, as (images, labels)."""
    images = read_idx(directory / "train-images-idx3-ubyte.gz", 16, count * batch * 784)
    labels = read_idx(directory / "train-labels-idx1-ubyte.gz", 8, count * batch)
    x = torch.frombuffer(images, dtype=torch.uint8).reshape(-1, 1, 28, 28)
    y = torch.frombuffer(labels, dtype=torch.uint8).long()
    x = (x.float() / 255 - 0.286) / 0.353
    batches = []
    for one_x, one_y in zip(x.split(batch), y.split(batch)):
        if model == "vgg16":
            one_x = nn.functional.interpolate(
                one_x, size=(32, 32), mode="bilinear", align_corners=False).repeat(1, 3, 1, 1)
        batches.append((one_x.contiguous(memory_format=memory_format), one_y))
    return batches


def peak_memory():
    """Bytes of this process that were resident at most, as Linux counts them since it began."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError("/proc/self/status: no VmHWM")


def gpu_libraries():
    """Bytes that are resident of the libraries for a GPU, which PyPI's package loads on any machine
    and another, for the CPU alone, does not have."""
    kilobytes, counts = 0, False
    for line in pathlib.Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):  # "7f00-7f10 r-xp 0000 08:01 123   /path"
            path = " ".join(words[5:])
            counts = "/nvidia/" in path or "cuda" in path.rsplit("/", 1)[-1]
        elif counts and words[0] == "Rss:":
            kilobytes += int(words[1])
    return kilobytes * 1024


def say(**answer):
    print(json.dumps(answer), flush=True)


def serve(take_steps, model, batch):
    """Takes a step, and answers questions until there are no more. take_steps(count) returns a
    number that has to be finite."""
    take_steps(1)
    say(parameters=sum(p.numel() for p in model.parameters()), torch=torch.__version__,
        capability=torch.backends.cpu.get_cpu_capability())
    for line in sys.stdin:
        steps = json.loads(line)["steps"]
        take_steps(WARM_UP)
        start = time.perf_counter()
        result = take_steps(steps)
        seconds = time.perf_counter() - start
        if not torch.isfinite(result):
            sys.exit(f"the result is {result.item()}")
        say(seconds=seconds, images=steps * batch, peak_memory=peak_memory(),
            gpu_libraries=gpu_libraries())


def configuration_parser(description):
    """What everything on PyTorch is told."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--layout", required=True, choices=LAYOUTS)
    parser.add_argument("--precision", required=True, choices=PRECISIONS)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    return parser


def contestant_parser(description):
    """What every contestant on PyTorch is told, which waits for questions."""
    parser = configuration_parser(description)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--batches", type=int, required=True, help="different ones, held in memory")
    return parser


def main():
    parser = contestant_parser(__doc__)
    parser.add_argument("--model", required=True, choices=("simple", "deeper", "vgg16"))
    parser.add_argument("--all-images", action="store_true",
                        help="hold those to train on as bytes beside the batches, as torchvision's "
                             "data set does")
    options = parser.parse_args()

    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    memory_format = LAYOUTS[options.layout]
    model = build_model(options.model).to(memory_format=memory_format).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    criterion = nn.CrossEntropyLoss()
    batches = load_batches(
        options.data, options.batches, options.batch, options.model, memory_format)

    if options.all_images:
        images = read_idx(options.data / "train-images-idx3-ubyte.gz", 16, 60_000 * 784)
        assert images

    def loss_of(x, y):
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            return criterion(model(x), y)

    if options.compile:
        loss_of = torch.compile(loss_of)

    def take_steps(count):
        for i in range(count):
            x, y = batches[i % len(batches)]
            optimiser.zero_grad(set_to_none=True)
            loss = loss_of(x, y)
            loss.backward()
            optimiser.step()
        return loss

    serve(take_steps, model, options.batch)


if __name__ == "__main__":
    main()
