#!/usr/bin/env python3
"""Writes golden/binomial.json: what SciPy says of the binomial distribution, for
tests/test_binomial.c.

    pip install scipy    # the versions are in the file
    python tests/reference/binomial.py
"""

import json
import pathlib

import scipy
from scipy import special, stats


def betas():
    shapes = [(0.5, 0.5), (1, 1), (2.5, 0.75), (15.5, 16.5), (30, 2), (2, 2999), (2987, 13),
              (9900.5, 101.25), (120000, 130000)]
    for a, b in shapes:
        mean = a / (a + b)
        deviation = (a * b / (a + b) ** 2 / (a + b + 1)) ** 0.5
        for x in (mean - 3 * deviation, mean - deviation, mean, mean + 0.1 * deviation,
                  mean + 3 * deviation, 0.001, 0.999):
            if 0 < x < 1:
                yield {"a": a, "b": b, "x": x, "value": float(special.betainc(a, b, x))}


def binomials():
    cases = [(0, 1, 0.5), (1, 1, 0.3), (0, 299, 0.01), (0, 298, 0.01), (2, 10, 0.25), (9, 10, 0.9),
             (12, 2000, 0.01), (20, 2000, 0.01), (85, 3000, 0.03), (90, 10000, 0.01),
             (5000, 10000, 0.5), (1000, 100000, 0.0101)]
    for k, n, p in cases:
        yield {"k": k, "n": n, "p": p, "value": float(stats.binom.cdf(k, n, p))}


def intervals():
    for k, n in ((0, 1), (1, 1), (0, 50), (3, 50), (50, 50), (49, 50), (13, 2113), (6950, 7000),
                 (7000, 7000), (123456, 1000000)):
        for confidence in (0.5, 0.95, 0.9995):
            found = stats.binomtest(k, n).proportion_ci(confidence, method="exact")
            upper = 1.0 if k == n else float(special.betaincinv(k + 1, n - k, confidence))
            yield {"k": k, "n": n, "confidence": confidence, "low": float(found.low),
                   "high": float(found.high), "upper": upper}


def main():
    golden = {"scipy": scipy.__version__, "beta": list(betas()), "cdf": list(binomials()),
              "interval": list(intervals())}
    path = pathlib.Path(__file__).parent / "golden" / "binomial.json"
    path.write_text(json.dumps(golden, indent=0) + "\n")


main()
