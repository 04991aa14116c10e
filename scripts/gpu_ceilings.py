#!/usr/bin/env python3
"""The two rates that floors are taken from, as PyTorch reaches them: a large copy (bytes read and bytes
written, a second) and a large product in fp16 (operations a second). Prints one line of JSON. The median
of rounds by CUDA events, after a second of work; random numbers, as zeros take less power.
"""

import argparse
import json
import statistics
import time

import torch

from gpu_pytorch import Clock


def rate(clock, work, amount, calls):
    end = time.perf_counter() + 1
    while time.perf_counter() < end:
        clock.measure(lambda: [work() for _ in range(calls)])
    return calls * amount / statistics.median(
        clock.measure(lambda: [work() for _ in range(calls)]) for _ in range(10))


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--device", required=True, choices=("cuda", "cpu"))
    parser.add_argument("--side", type=int, default=8192, help="of the product's square matrices")
    parser.add_argument("--mebibytes", type=int, default=2048, help="that are copied")
    options = parser.parse_args()
    device = torch.device(options.device)
    clock = Clock(device)
    a, b = (torch.randn(options.side, options.side, device=device, dtype=torch.float16) for _ in range(2))
    product = rate(clock, lambda: a @ b, 2 * options.side**3, 10)
    source = torch.randn(options.mebibytes * 2**18, device=device)
    target = torch.empty_like(source)
    copy = rate(clock, lambda: target.copy_(source), 2 * source.numel() * 4, 10)
    print(json.dumps({"copy": copy, "product": product}))


if __name__ == "__main__":
    main()
