#!/usr/bin/env python3
"""PyTorch training one model on a GPU (or, to try it out, a CPU), in one configuration: the other
side of scripts/gpu-acceptance --stage pytorch. Prints one line of JSON.

All that favours it: automatic mixed precision in fp16, channels_last, batches normalised beforehand
and resident on the device, a fused optimiser, cudnn.benchmark; --compile adds torch.compile in the
mode max-autotune, which captures CUDA graphs. Timed by CUDA events after a warm-up.
"""

import argparse
import json
import math
import pathlib
import statistics
import sys
import time

import torch

from bench_pytorch import build_model, load_batches


class Clock:
    """Seconds on the device between two calls of its stream."""

    def __init__(self, device):
        self.cuda = device.type == "cuda"

    def measure(self, work):
        if not self.cuda:
            begin = time.perf_counter()
            work()
            return time.perf_counter() - begin
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1000


def make_step(options, device, model):
    """A training step on a batch; returns the loss, on the device."""
    low = torch.float16 if device.type == "cuda" else torch.bfloat16
    scaler = torch.amp.GradScaler(device.type, enabled=low == torch.float16)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    criterion = torch.nn.CrossEntropyLoss()

    def loss_of(x, y):
        with torch.autocast(device.type, dtype=low):
            return criterion(model(x), y)

    if options.compile:
        loss_of = torch.compile(loss_of, mode="max-autotune")

    def step(x, y):
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(x, y)
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        return loss

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--model", required=True, choices=("simple", "deeper", "vgg16"))
    parser.add_argument("--device", required=True, choices=("cuda", "cpu"))
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--batches", type=int, required=True, help="different ones, on the device")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--warmup", type=int, required=True)
    parser.add_argument("--warm-ms", type=float, default=0, help="that the warm-up lasts at least")
    parser.add_argument("--round-ms", type=float, default=0, help="that a round lasts at least")
    parser.add_argument("--data", type=pathlib.Path, required=True)
    options = parser.parse_args()

    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch sees no GPU here")
    device = torch.device(options.device)
    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = True
    model = build_model(options.model).to(device, memory_format=torch.channels_last).train()
    step = make_step(options, device, model)
    batches = [(x.to(device, memory_format=torch.channels_last), y.to(device)) for x, y in
               load_batches(options.data, options.batches, options.batch, options.model,
                            torch.channels_last)]
    last = None

    def take_steps(count):
        nonlocal last
        for i in range(count):
            last = step(*batches[i % len(batches)])

    clock = Clock(device)
    begin = time.perf_counter()
    take_steps(1)
    first = time.perf_counter() - begin
    begin, warm = time.perf_counter(), 0.0
    while True:
        warm = clock.measure(lambda: take_steps(options.warmup))
        if 1000 * (time.perf_counter() - begin) >= options.warm_ms:
            break
    steps = max(options.steps, math.ceil(options.round_ms / 1000 / (warm / options.warmup)))
    seconds = [clock.measure(lambda: take_steps(steps)) for _ in range(options.rounds)]
    if not torch.isfinite(last):
        sys.exit(f"the loss is {last.item()}")
    rates = [steps * options.batch / s for s in seconds]
    name = torch.cuda.get_device_name() if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    print(json.dumps({
        "images_per_second": rates, "median": statistics.median(rates), "first_step_seconds": first,
        "parameters": sum(p.numel() for p in model.parameters()), "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(), "device": name}))


if __name__ == "__main__":
    main()
