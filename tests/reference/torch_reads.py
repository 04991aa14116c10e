#!/usr/bin/env python3
"""Loads exported models in PyTorch: torch_reads.py FOLDER..., each with model.py,
model.safetensors and expected.safetensors (tests/reference/drawn.h). Logits of all images; save()
gives back a file with the same tensors and metadata; the module trains.
"""

import json
import pathlib
import sys

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

import shared
from tool import import_module

torch.set_num_threads(2)
VERSIONS = f"PyTorch {torch.__version__.split('+')[0]}"


def metadata_of(path):
    with safe_open(path, "np") as file:
        return {key: json.loads(value) if key not in ("model",) else value
                for key, value in file.metadata().items()}


def numbers(value):
    """One number or one for each channel, as fp32."""
    return np.unique(np.float32(value))


def check_saved(module, net, folder):
    """A file that save() wrote holds what the loaded one held."""
    again = folder / "again.safetensors"
    module.save(net, again)
    before, after = load_file(folder / "model.safetensors"), load_file(again)
    assert sorted(before) == sorted(after), sorted(after)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    was, now = metadata_of(folder / "model.safetensors"), metadata_of(again)
    for key in ("input_mean", "input_deviation"):
        assert np.array_equal(numbers(was.pop(key)), numbers(now.pop(key))), key
    assert was == now, (was, now)
    module.save(net, again, class_names=[f"k{k}" for k in range(10)])
    assert metadata_of(again)["class_names"][3] == "k3"


def check_training(module, images):
    """One step on a batch changes every parameter, and dropout is active."""
    torch.manual_seed(1)
    net = module.Net()
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    labels = torch.arange(len(images)) % 10
    torch.nn.functional.cross_entropy(net(images), labels).backward()
    optimiser.step()
    for name, value in net.named_parameters():
        assert not torch.equal(value, before[name]), name
    rates = [layer.p for layer in net.modules() if isinstance(layer, torch.nn.Dropout)]
    assert not any(rates) or not torch.equal(net(images), net(images)), rates


def check_refused(module, folder):
    """Weights of another input size would be computed wrongly."""
    module.INPUT_SIZE = "1"
    try:
        module.load(folder / "model.safetensors")
    except ValueError as error:
        assert "expected" in str(error), error
    else:
        raise SystemExit("weights of another input size were taken")


def main():
    for folder in map(pathlib.Path, sys.argv[1:]):
        module = import_module(folder / "model.py")
        net = module.load(folder / "model.safetensors")
        expected = load_file(folder / "expected.safetensors")
        images = torch.from_numpy(expected["images"].astype(np.uint8)).squeeze(1)
        with torch.no_grad():
            found = torch.cat([net(part) for part in images.split(50)]).numpy()
            assert torch.allclose(net(images[:4].float()), net(images[:4]))
        difference = float(np.abs(found - expected["logits"].reshape(found.shape)).max())
        shared.result(
            f"{folder.name} exported to PyTorch, logits", VERSIONS, difference, 1e-4)
        check_saved(module, net, folder)
        check_training(module, images[:16])
        check_refused(module, folder)
        assert module.CLASS_NAMES[9] == 'Ankle "boot" été'
    shared.finish()


main()
