#!/usr/bin/env python3
"""VGG16 of torchvision and of timm, with drawn weights, in the files that their weights come in.

    torchvision_vgg16.py make torchvision|timm FILE              writes the file, classifier and all
    torchvision_vgg16.py check torchvision|timm FILE EXPECTED    a network loaded from FILE, on
                             EXPECTED's images (tests/reference/drawn.h), layer by layer
"""

import sys

import numpy as np
import timm
import torch
import torchvision
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

import shared

torch.set_num_threads(2)
VERSIONS = {"torchvision": f"torchvision {torchvision.__version__.split('+')[0]}",
            "timm": f"timm {timm.__version__}"}
# As torchvision.models.VGG16_Weights.IMAGENET1K_V1.transforms() has them.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def build(kind):
    if kind == "timm":
        return timm.create_model("vgg16", pretrained=False)
    return torchvision.models.vgg16(weights=None)


def make(kind, path):
    torch.manual_seed(11)
    model = build(kind)
    with torch.no_grad():
        for layer in model.features:
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                layer.bias.uniform_(-0.2, 0.2)
    save_file(model.state_dict(), path, metadata={"format": "pt"})


def check(kind, path, expected_path):
    transforms = torchvision.models.VGG16_Weights.IMAGENET1K_V1.transforms()
    assert (tuple(transforms.mean), tuple(transforms.std)) == (MEAN, DEVIATION)
    model = build(kind)
    model.load_state_dict(load_file(path))
    model.eval()
    expected = load_arrays(expected_path)
    few, _, side, _ = expected["input"].shape
    images = torch.from_numpy(expected["images"][:few]) / 255
    x = torchvision.transforms.functional.normalize(images.repeat(1, 3, 1, 1), MEAN, DEVIATION)
    x = F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)
    worst = shared.relative(expected["input"], x)
    names = shared.vgg16_layers()
    assert len(names) == len(model.features)
    with torch.no_grad():
        for name, layer in zip(names, model.features):
            x = layer(x.clone())
            found = shared.relative(expected[name], x)
            shared.check(f"{kind}, {name}", found, 1e-5)
            worst = max(worst, found)
        features = x.mean(dim=(2, 3))
    worst = max(worst, shared.relative(expected["mean"].reshape(features.shape), features))
    shared.result(f"vgg16 at {side}x{side} from {kind}'s weights, the worst layer (relative)",
                  VERSIONS[kind], worst, 1e-5)


def main():
    action, *arguments = sys.argv[1:]
    {"make": make, "check": check}[action](*arguments)
    shared.finish()


main()
