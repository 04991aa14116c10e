#!/usr/bin/env python3
"""PyTorch's side of the speedrun: trains `deeper` by a recipe of fmnist's, tests once, and says the
accuracies in a line of JSON. What is timed is the process.

The recipe is a file of `fmnist recipe`; what it says is done as fmnist does it: images mirrored and
moved, the schedule step by step, weights but not biases decayed, averages of weights and statistics
tested, alone and with the mirror image. Random numbers are PyTorch's own, so that the result is
that of another seed.
"""

import json
import math
import pathlib

import torch
from torch import nn

from bench_pytorch import LAYOUTS, build_model, configuration_parser, read_idx

TRAINED, TEST, SIDE, TEST_BATCH = 54_000, 10_000, 28, 500


def load(directory, part, count):
    images = read_idx(directory / f"{part}-images-idx3-ubyte.gz", 16, count * SIDE * SIDE)
    labels = read_idx(directory / f"{part}-labels-idx1-ubyte.gz", 8, count)
    return (torch.frombuffer(images, dtype=torch.uint8).reshape(-1, SIDE, SIDE),
            torch.frombuffer(labels, dtype=torch.uint8).long())


def rate_at(recipe, step, steps):
    """src/train/schedule.c"""
    at, top = step + 0.5, recipe["warmup_share"] * steps
    if recipe["schedule"] == "constant":
        return recipe["learning_rate"]
    if at < top:
        return recipe["learning_rate"] * at / top
    rest = (at - top) / (steps - top)
    if recipe["schedule"] == "cosine":
        return recipe["learning_rate"] * (0.5 + 0.5 * math.cos(math.pi * rest))
    return recipe["learning_rate"] * (1 - rest)


def augment(images, recipe):
    """Mirrored, then moved, zeros coming in."""
    count, shift = len(images), recipe["shift"]
    across = torch.arange(SIDE).expand(count, SIDE)
    if recipe["flip"]:
        mirrored = torch.rand(count, 1) < 0.5
        across = torch.where(mirrored, SIDE - 1 - across, across)
    images = images.gather(2, across[:, None, :].expand_as(images))
    if shift == 0:
        return images
    padded = nn.functional.pad(images, (shift, shift, shift, shift))
    moves = torch.randint(0, 2 * shift + 1, (2, count, 1))
    rows, cols = (torch.arange(SIDE) + move for move in moves)
    return padded[torch.arange(count)[:, None, None], rows[:, :, None], cols[:, None, :]]


def prepare(model, recipe):
    """He's initial weights, the recipe's dropout; the optimiser, which decays weights alone."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, nn.Dropout) and recipe["dropout"] >= 0:
            module.p = recipe["dropout"]
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": weights, "weight_decay": recipe["weight_decay"]},
              {"params": others, "weight_decay": 0.0}]
    if recipe["optimiser"] == "sgd":
        return torch.optim.SGD(groups, lr=0.1, momentum=recipe["momentum"],
                               nesterov=recipe["nesterov"])
    return torch.optim.AdamW(groups, betas=(recipe["beta1"], recipe["beta2"]),
                             eps=recipe["epsilon"], fused=True)


def averaged(decay):
    def update(average, value, count):
        early = (1 + count) / (10 + count)
        share = min(decay, float(early))
        return share * average + (1 - share) * value
    return update


@torch.no_grad()
def test(model, images, labels, normalise, autocast):
    """Accuracies of the images, and of the mean of the probabilities with their mirror images."""
    model.eval()
    plain = mirrored = 0
    for x, y in zip(images.split(TEST_BATCH), labels.split(TEST_BATCH)):
        with autocast():
            one, other = (model(normalise(v)).float().softmax(1) for v in (x, x.flip(2)))
        plain += (one.argmax(1) == y).sum().item()
        mirrored += ((one + other).argmax(1) == y).sum().item()
    return plain / len(labels), mirrored / len(labels)


def main():
    parser = configuration_parser(__doc__)
    parser.add_argument("--recipe", type=pathlib.Path, required=True)
    parser.add_argument("--epochs", type=int, help="in place of the recipe's")
    options = parser.parse_args()
    recipe = json.loads(options.recipe.read_text())
    epochs = options.epochs or recipe["epochs"]
    if recipe["erase"] > 0 or recipe["mix"] > 0 or recipe["epoch_images"] > 0:
        raise SystemExit("the recipe erases, mixes or takes part of the images: not done here")

    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    images, labels = load(options.data, "train", 60_000)
    kept = torch.randperm(len(images))[:TRAINED]
    images, labels = images[kept], labels[kept]
    mean, deviation = (f(images.float() / 255).item() for f in (torch.mean, torch.std))
    layout = LAYOUTS[options.layout]

    def normalise(x):
        x = (x.float() / 255 - mean) / deviation
        return x[:, None].contiguous(memory_format=layout)

    def autocast():
        return torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16")

    model = build_model("deeper").to(memory_format=layout).train()
    optimiser = prepare(model, recipe)
    average = torch.optim.swa_utils.AveragedModel(
        model, avg_fn=averaged(recipe["ema_decay"]), use_buffers=True)
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe["label_smoothing"])

    def loss_of(x, y):
        with autocast():
            return criterion(model(x), y)

    step_loss = torch.compile(loss_of) if options.compile else loss_of
    batch = recipe["batch"]
    steps, step = epochs * math.ceil(TRAINED / batch), 0
    for _ in range(epochs):
        for chosen in torch.randperm(TRAINED).split(batch):
            for group in optimiser.param_groups:
                group["lr"] = rate_at(recipe, step, steps)
            optimiser.zero_grad(set_to_none=True)
            loss = step_loss(normalise(augment(images[chosen], recipe)), labels[chosen])
            loss.backward()
            optimiser.step()
            average.update_parameters(model)
            step += 1
    if not torch.isfinite(loss):
        raise SystemExit(f"the loss is {loss.item()}")
    tested = average if recipe["ema_decay"] > 0 else model
    accuracy, mirrored = test(tested, *load(options.data, "t10k", TEST), normalise, autocast)
    print(json.dumps({"accuracy": accuracy, "mirrored": mirrored, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
