#!/usr/bin/env python3
"""A model trained in PyTorch comes in: torch_train.py FMNIST DATA_TINY MODEL

Takes the module that `fmnist export` writes, trains it from PyTorch's own initial weights for some
hundred steps, saves it, and holds `fmnist eval FILE` to what PyTorch counts on the test images: of
the whole data set where it is installed.
"""

import sys

import torch
from torch.nn import functional as F

import shared
from tool import Tool, import_module

torch.set_num_threads(2)
STEPS = {"simple": (300, 32), "deeper": (200, 10)}  # and images of each


def read(data, part):
    images = torch.from_numpy(shared.read_idx(data, f"{part}-images-idx3-ubyte").copy())
    labels = torch.from_numpy(shared.read_idx(data, f"{part}-labels-idx1-ubyte").copy()).long()
    return images, labels


def train(module, data, steps, batch):
    torch.manual_seed(5)
    images, labels = read(data, "train")
    pixels = images.float() / 255
    net = module.Net(mean=[pixels.mean().item()], deviation=[pixels.std().item()])
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []
    for _ in range(steps):
        chosen = torch.randint(len(images), (batch,))
        loss = F.cross_entropy(net(images[chosen]), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    learned = sum(losses[-20:]) / 20
    assert learned < losses[0] / 2, (losses[0], learned)
    return net.eval()


def score(net, data):
    images, labels = read(data, "t10k")
    with torch.no_grad():
        logits = torch.cat([net(part) for part in images.split(250)])
    return int((logits.argmax(1) == labels).sum()), F.cross_entropy(logits, labels).item()


def main():
    program, tiny, model = sys.argv[1:]
    with Tool(program) as tool:
        data = tool.whole_data(tiny)
        run = tool.train("run", "--model", model, "--data", tiny)
        module = import_module(tool.export(run, "safetensors") / "model.py")
        net = train(module, data, *STEPS[model])
        file = tool.folder / "trained.safetensors"
        module.save(net, file)
        found = tool.evaluate(file, data)
        loaded = module.load(file)
        assert all(torch.equal(value, net.state_dict()[name])
                   for name, value in loaded.state_dict().items()
                   if not name.endswith("num_batches_tracked"))
        correct, nll = score(loaded, data)
        versions = f"PyTorch {torch.__version__.split('+')[0]}"
        # An image whose two best classes are equal but for rounding may fall either way.
        shared.result(
            f"{model} trained in PyTorch, `fmnist eval`: images of {found['count']:,} classified "
            f"otherwise ({correct:,} right)", versions, abs(found["correct"] - correct),
            found["count"] // 10000)
        shared.result(f"{model} trained in PyTorch, `fmnist eval`: nll", versions,
                      abs(found["nll"] - nll), 1e-5)
    shared.finish()


main()
