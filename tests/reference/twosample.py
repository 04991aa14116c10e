#!/usr/bin/env python3
"""Writes golden/twosample.json: what SciPy says of two samples, for tests/test_twosample.c.

    pip install scipy numpy    # made with scipy 1.17.1, numpy 2.4.6
    python tests/reference/twosample.py

Values are multiples of 1/64, so that they are the same as float and as double. With ties SciPy's
exact test does not apply; there all divisions of the pooled values are enumerated.
"""

import json
import pathlib

import numpy as np
import scipy
from scipy import stats
from scipy.stats._stats_py import _attempt_exact_2kssamp


def ks(first, second):
    return stats.ks_2samp(first, second).statistic


def ks_case(name, first, second, ties):
    if ties:
        result = stats.permutation_test((first, second), ks, permutation_type="independent",
                                        n_resamples=np.inf, alternative="greater")
        p = result.pvalue
    else:
        p = stats.ks_2samp(first, second, method="exact").pvalue
    return {"name": name, "first": [float(x) for x in first], "second": [float(x) for x in second],
            "distance": float(ks(first, second)), "p": float(p)}


def ks_cases(rng):
    pool = rng.permutation(4096) / 64.0
    return [
        ks_case("small", pool[:7], pool[7:16], False),
        ks_case("apart", np.sort(pool)[:8], np.sort(pool)[8:20], False),
        ks_case("shifted", pool[:40] + 24, pool[40:100] + 1 / 128, False),
        ks_case("many", pool[:150], pool[150:390] + 6 + 1 / 128, False),
        ks_case("ties", rng.integers(0, 4, 6) / 1.0, rng.integers(1, 5, 7) / 1.0, True),
        ks_case("two values", np.array([0, 0, 0, 1.0, 0]), np.array([1.0, 1, 0, 1, 1, 1]), True),
        ks_case("all equal", np.zeros(4), np.zeros(5), True),
        ks_case("ties far apart", np.array([0, 0, 0, 0, 1.0]), np.array([1.0, 2, 2, 2, 2, 2]), True),
    ]


def limits():
    """Exact p without ties, which the limit is held to."""
    cases = []
    for n, m in ((100, 3000), (300, 3000), (1000, 3000), (3000, 3000)):
        for factor in (0.85, 1.0, 1.2, 1.36, 1.63, 1.94):
            scaled = round(factor * np.sqrt((n + m) / (n * m)) * n * m / np.gcd(n, m)) * np.gcd(n, m)
            d = scaled / (n * m)
            _, _, p = _attempt_exact_2kssamp(n, m, np.gcd(n, m), d, "two-sided")
            cases.append({"first": n, "second": m, "distance": float(d), "p": float(p)})
    return cases


def chi_cases(rng):
    cases = []
    for first, second in (
            ([300] * 10, [30, 28, 31, 33, 30, 30, 29, 35, 24, 30]),
            ([300] * 10, [60, 60, 60, 60, 60, 0, 0, 0, 0, 0]),
            ([5, 3, 0, 9], [1, 2, 0, 3]),
            ([12, 30], [25, 9])):
        used = [k for k in range(len(first)) if first[k] + second[k] > 0]
        result = stats.chi2_contingency(np.array([first, second])[:, used], correction=False)
        cases.append({"first": first, "second": second, "statistic": float(result.statistic),
                      "degrees": int(result.dof), "p": float(result.pvalue)})
    return cases


def tails():
    return [{"x": float(x), "degrees": k, "p": float(stats.chi2.sf(x, k))}
            for k in (1, 2, 9, 40, 255) for x in (1e-3, 0.5, k - 0.5, k, k + 2.0, 3.0 * k, 20.0 * k)
            if x > 0]


def main():
    rng = np.random.default_rng(7)
    golden = {"made_with": f"scipy {scipy.__version__}, numpy {np.__version__}",
              "ks": ks_cases(rng), "limit": limits(), "chi_square": chi_cases(rng), "tail": tails()}
    path = pathlib.Path(__file__).parent / "golden" / "twosample.json"
    path.write_text(json.dumps(golden, indent=1) + "\n")


main()
