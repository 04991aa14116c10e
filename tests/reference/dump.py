#!/usr/bin/env python3
"""Writes tests/reference/golden/*.json: what PyTorch computes for each model, to hold backends
against.

    python3 -m venv VENV && VENV/bin/pip install --no-deps -r tests/reference/requirements.txt
    VENV/bin/python tests/reference/dump.py

Each model is written out again here in PyTorch, given the initial weights that src/net/init.h
defines (from a Philox generator of this file's own), and trained for ten steps of Adam on images of
data/tiny, without augmentation, with the dropout masks of kernels/dropout.h. The golden values are those of
a run in float64. Runs in float32, three with different kernels and layouts and four whose initial
weights are one unit in the last place off, show how far single precision may be off, and from that
the tolerance stored beside each value is made:

    tolerance = FACTOR * (largest deviation of the float32 runs) + FLOOR * (largest magnitude)

draws.json holds a table of draws, masks and orders, from this file's generator.
"""

import argparse
import collections
import gzip
import json
import pathlib
import platform

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

FACTOR = 4.0
FLOOR = 2e-6
SAMPLES = 64

SEED = 0x0123456789ABCDEF
EPOCH = 3
STEPS = 10
BETAS = (0.9, 0.999)
EPSILON = 1e-8
MEAN = float(np.float32(0.286))
DEVIATION = float(np.float32(0.353))

STREAM_SHUFFLE, STREAM_SHIFT, STREAM_FLIP = 0, 1, 2
STREAM_INIT, STREAM_DROPOUT = 4, 16


# Philox 4x32-10 (Salmon et al., SC 2011): key = seed, counter = epoch, sample, stream, element / 4.
def draws(seed, epoch, sample, stream, count):
    quads = np.arange((count + 3) // 4, dtype=np.uint64)
    mask = np.uint64(0xFFFFFFFF)
    c = [np.full_like(quads, v) for v in (epoch, sample, stream)] + [quads]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0 = c[0] * np.uint64(0xD2511F53)
        p1 = c[2] * np.uint64(0xCD9E8D57)
        c = [
            (p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0),
            p1 & mask,
            (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1),
            p0 & mask,
        ]
        k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF
        k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, axis=1).reshape(-1)[:count].astype(np.uint32)


def below(draw, n):
    return int(draw) * n >> 32


def keep_mask(rate, ordinal, sample, count, seed=SEED, epoch=EPOCH):
    threshold = int(np.floor(float(np.float32(rate)) * 2.0**32))
    return draws(seed, epoch, sample, STREAM_DROPOUT + ordinal, count) >= threshold


class Dropout(nn.Module):
    """Inverted dropout with the masks of kernels/dropout.h."""

    def __init__(self, rate, ordinal):
        super().__init__()
        self.rate, self.ordinal, self.ids = rate, ordinal, None

    def forward(self, x):
        if not self.training:
            return x
        size = x[0].numel()
        masks = np.stack([keep_mask(self.rate, self.ordinal, int(i), size) for i in self.ids])
        keep = torch.from_numpy(masks).to(x.dtype).reshape(x.shape)
        return x * keep / (1.0 - self.rate)


def simple():
    return [
        ("conv1", nn.Conv2d(1, 32, 3)), ("relu1", nn.ReLU()),
        ("conv2", nn.Conv2d(32, 64, 3)), ("relu2", nn.ReLU()),
        ("pool1", nn.MaxPool2d(2)), ("drop1", Dropout(0.25, 0)), ("flatten", nn.Flatten()),
        ("fc1", nn.Linear(64 * 12 * 12, 128)), ("relu3", nn.ReLU()),
        ("drop2", Dropout(0.5, 1)), ("fc2", nn.Linear(128, 10)),
    ]


def deeper():
    layers, channels = [], 1
    for i in range(1, 7):
        out = 64 << (i - 1) // 2
        layers += [
            (f"conv{i}", nn.Conv2d(channels, out, 3, padding=1, bias=False)),
            (f"bn{i}", nn.BatchNorm2d(out)), (f"relu{i}", nn.ReLU()),
        ]
        channels = out
        if i % 2 == 0:
            layers.append((f"pool{i // 2}", nn.MaxPool2d(2)))
    return layers + [
        ("drop1", Dropout(0.5, 0)), ("flatten", nn.Flatten()),
        ("fc1", nn.Linear(2304, 1024)), ("relu7", nn.ReLU()),
        ("fc2", nn.Linear(1024, 256)), ("relu8", nn.ReLU()), ("fc3", nn.Linear(256, 10)),
    ]


def vgg16():
    layers, channels = [], 3
    for b, (n, out) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], 1):
        for i in range(1, n + 1):
            layers += [
                (f"conv{b}_{i}", nn.Conv2d(channels, out, 3, padding=1)),
                (f"relu{b}_{i}", nn.ReLU()),
            ]
            channels = out
        layers.append((f"pool{b}", nn.MaxPool2d(2)))
    return layers + [
        ("mean", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()),
        ("fc1", nn.Linear(512, 256)), ("relu6", nn.ReLU()), ("drop1", Dropout(0.5, 0)),
        ("fc2", nn.Linear(256, 10)),
    ]


def simple_ref():
    return [
        ("conv1", nn.Conv2d(3, 32, 3)), ("relu1", nn.ReLU()), ("pool1", nn.MaxPool2d(2)),
        ("flatten", nn.Flatten()), ("fc1", nn.Linear(32 * 15 * 15, 128)), ("relu2", nn.ReLU()),
        ("fc2", nn.Linear(128, 10)),
    ]


def deeper_ref():
    return [
        ("conv1", nn.Conv2d(3, 32, 3)), ("relu1", nn.ReLU()), ("pool1", nn.MaxPool2d(2)),
        ("conv2", nn.Conv2d(32, 64, 3)), ("relu2", nn.ReLU()), ("pool2", nn.MaxPool2d(2)),
        ("conv3", nn.Conv2d(64, 128, 3)), ("relu3", nn.ReLU()), ("flatten", nn.Flatten()),
        ("drop1", Dropout(0.5, 0)), ("fc1", nn.Linear(2048, 256)), ("relu4", nn.ReLU()),
        ("fc2", nn.Linear(256, 10)),
    ]


class Model(nn.Module):
    # name: layers, parameters, 32x32x3 input, standardised, batch, learning rate, seed of the
    # initial weights. A loss has kinks (ReLU, max-pool), and beside one a rounding turns a gradient
    # and, by Adam, the steps after it. With 1e-3 and batches as small as these the two deep ones
    # come upon kinks all the time: one unit in the last place of vgg16's initial weights moved its
    # tenth loss by 0.07. At these rates, and for vgg16 from this seed, it moves none by
    # more than 2e-5, so that the losses can be held to that.
    ZOO = {
        "simple": (simple, 1199882, False, True, 8, 1e-3, 1),
        "deeper": (deeper, 3770442, False, True, 8, 2e-5, 1),
        "vgg16": (vgg16, 14848586, True, True, 4, 1e-5, 2),
        "simple-ref": (simple_ref, 923914, True, False, 8, 1e-3, 1),
        "deeper-ref": (deeper_ref, 620362, True, False, 8, 1e-3, 1),
    }

    def __init__(self, name, dtype, nudge=None):
        super().__init__()
        layers, parameters, self.colour, self.standardise, self.batch, self.rate, seed = (
            self.ZOO[name])
        self.layers = nn.Sequential(collections.OrderedDict(layers())).to(dtype)
        self.dtype = dtype
        assert sum(p.numel() for p in self.parameters()) == parameters, name
        for index, (_, p) in enumerate(self.named()):
            values = initial(seed, index, p)
            if nudge is not None and p.dim() > 1:
                signs = np.random.default_rng([nudge, index]).choice([-1, 1], values.shape)
                values = np.nextafter(values, (np.inf * signs).astype(np.float32))
            p.data.copy_(torch.from_numpy(values).to(dtype))

    def named(self):
        return [(n.removeprefix("layers."), p) for n, p in self.named_parameters()]

    def forward(self, images, ids=None):
        x = torch.from_numpy(images.astype(np.float64)).unsqueeze(1) / 255.0
        if self.standardise:
            x = (x - MEAN) / DEVIATION
        x = x.to(self.dtype)
        if self.colour:
            x = x.repeat(1, 3, 1, 1)
            x = F.interpolate(x, size=(32, 32), mode="bilinear", align_corners=False)
        for module in self.layers:
            if isinstance(module, Dropout):
                module.ids = ids
        return self.layers(x)


def initial(seed, index, p):
    """He uniform by fan-in for weights; 0 for biases and shifts, 1 for scales (src/net/init.h)."""
    if p.dim() == 1:
        return p.detach().numpy() * 0 + np.float32(1.0 if is_scale(p) else 0.0)
    fan_in = p[0].numel()
    unit = (draws(seed, 0, index, STREAM_INIT, p.numel()) >> 8).astype(np.float64) * 2.0**-24
    weights = np.sqrt(6.0 / fan_in) * (2.0 * unit - 1.0)
    return weights.astype(np.float32).reshape(tuple(p.shape))


def is_scale(p):
    # nn.BatchNorm2d is the one module that starts a vector at ones.
    return bool((p == 1).all())


def adam(model):
    return torch.optim.Adam(model.parameters(), lr=model.rate, betas=BETAS, eps=EPSILON)


def train_step(model, optimiser, images, labels, ids):
    model.train()
    optimiser.zero_grad()
    loss = F.cross_entropy(model(images[ids], ids), torch.from_numpy(labels[ids]).long())
    loss.backward()
    grads = [p.grad.contiguous().numpy().astype(np.float64).reshape(-1) for _, p in model.named()]
    optimiser.step()
    return loss.item(), grads


def in_single(run, name, images, labels):
    """The run in float32: oneDNN's kernels, PyTorch's own, channels last; from nudged weights."""
    results = [run(name, torch.float32, images, labels)]
    with torch.backends.mkldnn.flags(enabled=False):
        results.append(run(name, torch.float32, images, labels))
    results.append(run(name, torch.float32, images, labels, torch.channels_last))
    for nudge in range(4):
        results.append(run(name, torch.float32, images, labels, nudge=nudge))
    return results


def run_steps(name, dtype, images, labels, layout=torch.contiguous_format, nudge=None):
    model = Model(name, dtype, nudge).to(memory_format=layout)
    optimiser = adam(model)
    losses, first = [], None
    for step in range(STEPS):
        ids = np.arange(step * model.batch, (step + 1) * model.batch)
        loss, grads = train_step(model, optimiser, images, labels, ids)
        losses.append(loss)
        first = first or grads
    names = [n for n, _ in model.named()]
    return losses, dict(zip(names, first))


def run_tail(name, dtype, images, labels, layout=torch.contiguous_format, nudge=None):
    model = Model(name, dtype, nudge).to(memory_format=layout)
    optimiser = adam(model)
    losses, at = [], 0
    for count in (16, 16, 8):
        losses.append(train_step(model, optimiser, images, labels, np.arange(at, at + count))[0])
        at += count
    model.eval()
    with torch.no_grad():
        logits = model(images[40:48]).numpy().astype(np.float64)
    running = {
        n.removeprefix("layers."): b.detach().numpy().astype(np.float64)
        for n, b in model.named_buffers() if "running" in n
    }
    return losses, running, logits


def short(x):
    return float(f"{float(x):.10g}")


def tolerance(truth, singles):
    """`singles`: the float32 runs' values of `truth`."""
    truth = np.asarray(truth, np.float64)
    deviation = max(np.abs(truth - np.asarray(single, np.float64)).max() for single in singles)
    return float(f"{FACTOR * deviation + FLOOR * np.abs(truth).max():.3g}")


def values(truth, singles):
    return {"values": [short(v) for v in np.reshape(truth, -1)],
            "tolerance": tolerance(truth, singles)}


def series(truth, singles):
    """A tolerance for each step, never falling: rounding differences grow with every update."""
    truth, singles = np.asarray(truth), np.asarray(singles)
    deviations = np.maximum.accumulate(np.abs(singles - truth).max(axis=0))
    return {"values": [short(v) for v in truth],
            "tolerances": [tolerance([t], [[t + d]]) for t, d in zip(truth, deviations)]}


def tensor(truth, singles):
    """Norm, sum and elements at indices i * count / SAMPLES (or all, if there are no more)."""
    count = truth.size
    n = min(SAMPLES, count)
    # Of a norm, and of a sum of independent errors, the deviation is at most about this.
    norm, deviation = np.linalg.norm(truth), max(np.linalg.norm(s - truth) for s in singles)
    sums = max(abs(truth.sum() - single.sum()) for single in singles)
    return {
        "count": count,
        "norm": short(norm),
        "norm_tolerance": float(f"{FACTOR * deviation + FLOOR * norm:.3g}"),
        "sum": short(truth.sum()),
        "sum_tolerance": float(
            f"{FACTOR * max(sums, deviation) + FLOOR * np.abs(truth).sum():.3g}"),
        "samples": [short(truth[i * count // n]) for i in range(n)],
        "sample_tolerance": tolerance(truth, singles),
    }


def load(folder, part):
    def idx(name, header):
        path = folder / name
        opener = gzip.open if path.with_name(name + ".gz").exists() else open
        path = path.with_name(name + ".gz") if opener is gzip.open else path
        with opener(path, "rb") as f:
            return np.frombuffer(f.read(), np.uint8, offset=header)

    images = idx(f"{part}-images-idx3-ubyte", 16).reshape(-1, 28, 28)
    return images, idx(f"{part}-labels-idx1-ubyte", 8)


def dump_model(name, images, labels):
    losses, grads = run_steps(name, torch.float64, images, labels)
    singles = in_single(run_steps, name, images, labels)
    out = {
        "model": name,
        "made_with": {"torch": torch.__version__, "numpy": np.__version__,
                      "python": platform.python_version()},
        "init_seed": Model.ZOO[name][6], "seed": SEED, "epoch": EPOCH, "batch": Model.ZOO[name][4],
        "mean": MEAN, "deviation": DEVIATION, "learning_rate": Model.ZOO[name][5],
        "beta1": BETAS[0], "beta2": BETAS[1], "epsilon": EPSILON,
        "losses": series(losses, [s[0] for s in singles]),
        "gradients": {n: tensor(grads[n], [s[1][n] for s in singles]) for n in grads},
    }
    if name == "deeper":
        losses, running, logits = run_tail(name, torch.float64, images, labels)
        singles = in_single(run_tail, name, images, labels)
        out["tail"] = {
            "counts": [16, 16, 8],
            "losses": series(losses, [s[0] for s in singles]),
            "running": {n: tensor(running[n], [s[1][n] for s in singles]) for n in running},
            "logits_first": 40, "logits_count": 8,
            "logits": values(logits, [s[2] for s in singles]),
        }
    return out


def dump_draws():
    table = [
        {"seed": s, "epoch": e, "sample": i, "stream": k, "draws": draws(s, e, i, k, 6).tolist()}
        for s in (0, 1, SEED) for e, i in ((0, 0), (7, 59999)) for k in (0, 1, 2, 4, 16, 17)
    ]
    ids = range(24)
    key = {i: (lambda d: int(d[0]) << 32 | int(d[1]))(draws(SEED, EPOCH, i, STREAM_SHUFFLE, 2))
           for i in ids}
    moves = [[below(d, 5) - 2 for d in draws(SEED, EPOCH, i, STREAM_SHIFT, 2)] for i in ids]
    # Of the simple model: conv2.weight and fc1.weight, by He's bound and by Glorot's.
    weights = [
        {"param": name, "bound": kind, "seed": seed,
         "values": [float(np.float32(np.sqrt(6.0 / fans) * (2.0 * int(d >> 8) / 2.0**24 - 1.0)))
                    for d in draws(seed, 0, index, STREAM_INIT, 9)]}
        for name, index, fan_in, fan_out in (("conv2.weight", 2, 288, 576),
                                             ("fc1.weight", 4, 9216, 128))
        for kind, fans in (("he", fan_in), ("glorot", fan_in + fan_out)) for seed in (1, SEED)
    ]
    return {
        "seed": SEED, "epoch": EPOCH, "draws": table, "weights": weights,
        "order": sorted(ids, key=lambda i: (key[i], i)),
        "shift": 2, "moves": moves,
        "flips": [int(draws(SEED, EPOCH, i, STREAM_FLIP, 1)[0] >> 31) for i in ids],
        "masks": [
            {"rate": rate, "ordinal": ordinal, "sample": sample,
             "keep": "".join("1" if k else "0" for k in keep_mask(rate, ordinal, sample, 150))}
            for rate, ordinal in ((0.25, 0), (0.5, 1), (0.1, 2)) for sample in (0, 5, 59999)
        ],
    }


def write(path, content):
    text = json.dumps(content, indent=1)
    # A list of numbers on one line: the files are read by people, too.
    lines, joined = [], None
    for line in text.split("\n"):
        bare = line.strip()
        if joined is None and bare.endswith("["):
            joined = line
        elif joined is not None and (bare.endswith(("{", "[")) or ":" in bare):
            lines += [joined, line]
            joined = None
        elif joined is not None:
            joined += bare + ("" if bare.startswith("]") else " ")
            if bare.startswith("]"):
                lines.append(joined.replace(" ]", "]"))
                joined = None
        else:
            lines.append(line)
    path.write_text("\n".join(lines) + "\n")


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, default=here.parent.parent / "data" / "tiny")
    parser.add_argument("--out", type=pathlib.Path, default=here / "golden")
    parser.add_argument("--models", default=",".join(Model.ZOO))
    args = parser.parse_args()

    torch.use_deterministic_algorithms(True)
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(2)
    args.out.mkdir(parents=True, exist_ok=True)
    write(args.out / "draws.json", dump_draws())
    images, labels = load(args.data, "train")
    for name in filter(None, args.models.split(",")):
        write(args.out / f"{name}.json", dump_model(name, images, labels))
        print(f"{name}.json")


if __name__ == "__main__":
    main()
