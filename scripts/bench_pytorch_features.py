#!/usr/bin/env python3
"""One contestant of scripts/bench-vs: PyTorch computing VGG16's features in one configuration.

The base is torchvision's VGG16 without classifier, its output averaged over the pixels. Its weights
are read from the file given, which is written first, with weights drawn at random, where there is
none. Says that it is ready, and answers, as bench_pytorch.py does; a step is a batch.
"""

import pathlib

import torch
from safetensors.torch import load_file, save_file
from torch._inductor import config as inductor

from bench_pytorch import (LAYOUTS, PRECISIONS, build_model, contestant_parser, load_batches,
                           serve)

BASE = 31  # layers, before the average over the pixels and what flattens it


def open_base(path):
    network = build_model("vgg16")[:BASE + 2]
    if path.exists():
        network.load_state_dict({name.removeprefix("features."): tensor
                                 for name, tensor in load_file(path).items()})
    else:
        for layer in network:
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        save_file({f"features.{name}": tensor for name, tensor in network.state_dict().items()},
                  path, metadata={"format": "pt"})
    return network


def main():
    parser = contestant_parser(__doc__)
    parser.add_argument("--weights", type=pathlib.Path, required=True)
    options = parser.parse_args()

    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    precision, memory_format = PRECISIONS[options.precision], LAYOUTS[options.layout]
    base = open_base(options.weights).eval().to(precision, memory_format=memory_format)
    batches = [x.to(precision) for x, _ in load_batches(
        options.data, options.batches, options.batch, "vgg16", memory_format)]
    features_of = base
    if options.compile:
        inductor.freezing = True  # weights are constants, laid out beforehand
        features_of = torch.compile(base)

    def take_steps(count):
        with torch.inference_mode():
            for i in range(count):
                features = features_of(batches[i % len(batches)])
        return features.mean()

    serve(take_steps, base, options.batch)


if __name__ == "__main__":
    main()
