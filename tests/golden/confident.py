"""Confident learning computed by numpy, for tests/test_confident.c to agree with.

Independent of src/eval/audit/confident.c: written from the paper (Northcutt, Jiang, Chuang 2021,
arXiv:1911.00068, sections 3.1 and 3.2), on whole arrays.

    python3 tests/golden/confident.py > tests/golden/confident.h
"""
import sys

import numpy as np

N, M = 48, 4


def samples():
    """A noisy set: unsure predictions, and a third of the labels wrong."""
    rng = np.random.default_rng(1911)
    truth = rng.integers(0, M, N)
    logits = rng.normal(0, 1.2, (N, M))
    logits[np.arange(N), truth] += 2
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    wrong = rng.random(N) < 0.33
    labels = np.where(wrong, (truth + rng.integers(1, M, N)) % M, truth)
    return p.astype(np.float32), labels


def joint_of(p, labels):
    p = p.astype(np.float64)
    thresholds = np.array([p[labels == j, j].mean() for j in range(M)])
    reached = np.where(p >= thresholds, p, -1)
    counted = np.where(reached.max(1) >= 0, reached.argmax(1), -1)
    counts = np.array([[np.sum((labels == i) & (counted == j)) for j in range(M)]
                       for i in range(M)])
    joint = counts / counts.sum(1, keepdims=True) * np.bincount(labels, minlength=M)[:, None]
    return thresholds, counts, joint / joint.sum(), counted


def rules_of(p, labels, joint, counted):
    p = p.astype(np.float64)
    everyone = np.arange(N)
    contradicted = p.argmax(1) != labels
    by_class, by_rate = np.zeros(N, bool), np.zeros(N, bool)
    for i in range(M):
        members = everyone[labels == i]
        number = int(np.floor(N * (joint[i].sum() - joint[i, i]) + 0.5))
        by_class[members[np.argsort(p[members, i], kind="stable")[:number]]] = True
        for j in range(M):
            number = int(np.floor(N * joint[i, j] + 0.5)) if j != i else 0
            margin = p[members, i] - p[members, j]
            by_rate[members[np.argsort(margin, kind="stable")[:number]]] = True
    joint_rule = (counted >= 0) & (counted != labels)
    rules = [contradicted, joint_rule, by_class, by_rate, by_class & by_rate]
    return [rule & contradicted for rule in rules]


def orders_of(p, labels):
    p = p.astype(np.float64)
    own = p[np.arange(N), labels]
    others = p.copy()
    others[np.arange(N), labels] = -1
    return [np.argsort(score, kind="stable") for score in (own, own - others.max(1))]


def array(kind, name, values, form):
    values = np.asarray(values)
    dims = "".join(f"[{d}]" for d in values.shape)
    text = ", ".join(form.format(v) for v in values.ravel().tolist())
    if values.ndim > 1:
        rows = values.reshape(values.shape[0], -1).tolist()
        text = ", ".join("{" + ", ".join(form.format(v) for v in row) + "}" for row in rows)
    print(f"static const {kind} {name}{dims} = {{{text}}};")


def main():
    p, labels = samples()
    thresholds, counts, joint, counted = joint_of(p, labels)
    print(f"// Made by tests/golden/confident.py with Python {sys.version.split()[0]}, "
          f"numpy {np.__version__}.")
    print("// clang-format off")
    print(f"enum {{ GOLDEN_SAMPLES = {N}, GOLDEN_CLASSES = {M} }};")
    array("float", "golden_probabilities", p, "{:.9g}f")
    array("uint8_t", "golden_labels", labels, "{}")
    array("double", "golden_thresholds", thresholds, "{:.17g}")
    array("uint64_t", "golden_counts", counts, "{}")
    array("double", "golden_joint", joint, "{:.17g}")
    array("uint8_t", "golden_found", np.array(rules_of(p, labels, joint, counted), int), "{}")
    array("uint32_t", "golden_orders", np.array(orders_of(p, labels)), "{}")
    print("// clang-format on")


main()
