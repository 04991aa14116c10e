"""Inference beside ONNX Runtime: a part of scripts/bench-vs.

The same network (ONNX Runtime's as `fmnist export` writes it), from u8 images in memory to
probabilities: fmnist timed by `fmnist bench`, ONNX Runtime by bench_onnxruntime.py, which holds the
processor's provider in several configurations. Throughput is the batch by the median time.
"""

import statistics

from bench_common import Comparison, Contestant, Part, table, take_turns

MODELS = ("simple", "deeper")
SINGLE, MANY = 1, 256  # batch sizes: of the first the latency counts, of the other the throughput


def fmnist_turn(bench, model):
    """Percentiles by precision and batch, of one call that takes its precisions in turns."""
    options = bench.options
    versus = ["--versus", "bf16"] if "bf16" in bench.precisions() else []
    result = bench.fmnist_json(
        "bench", bench.run(model), "--batches", f"{SINGLE},{MANY}", "--train-batches", 1,
        "--precision", "fp32", *versus, "--seconds", options.seconds, "--backend", "cpu",
        "--threads", options.threads, "--data", options.data, "--quiet")
    return {(side["precision"], figure["batch"]): figure["host"]
            for side in result["sides"] for figure in side["predictions"]}


def reference_turn(contestant, configuration, seconds):
    return {("fp32", batch): contestant.ask(
        configuration=configuration, batch=batch, seconds=seconds) for batch in (SINGLE, MANY)}


def microseconds(value):
    return f"{value:,.0f} us"


def a_second(value):
    return f"{value:,.0f} images/s"


def shown(turn):
    return ", ".join(
        f"{precision} {microseconds(spread['p50'] * 1e6) if batch == SINGLE else ''}"
        f"{a_second(batch / spread['p50']) if batch == MANY else ''}"
        for (precision, batch), spread in turn.items())


def compare(model, turns, precision, batch):
    """With ONNX Runtime in fp32; bf16 also with fmnist's own fp32. What was told of under fp32 is
    not listed again."""
    def values(name, precision):
        medians = [turn[precision, batch]["p50"] for turn in turns[name]]
        return [m * 1e6 if batch == SINGLE else batch / m for m in medians]

    work = f"{model}, batch {batch}, {precision}"
    ours = values("fmnist", precision)
    rest = {"figure": microseconds if batch == SINGLE else a_second, "less": batch == SINGLE}
    references = {name: values(name, "fp32") for name in turns if name != "fmnist"}
    if precision == "fp32":
        return [Comparison(work, ("infer", model, batch), ours, references, **rest)]
    own = {"fmnist in fp32": values("fmnist", "fp32")}
    return [Comparison(f"{work} beside fp32", ("infer", model, batch, precision), ours, references,
                       listed=["fmnist"], **rest),
            Comparison(f"{work} beside its own fp32", None, ours, own, listed=[], **rest)]


def percentile_rows(model, turns):
    """Of single images: medians over the rounds, in microseconds."""
    def middle(spreads, name):
        known = [spread[name] for spread in spreads if spread[name] is not None]
        return f"{statistics.median(known) * 1e6:,.1f}" if known else "too few runs"

    for name, taken in turns.items():
        for precision in [p for p, batch in taken[0] if batch == SINGLE]:
            spreads = [turn[precision, SINGLE] for turn in taken]
            yield model, name, precision, *(middle(spreads, p) for p in ("p50", "p90", "p99"))


def take(bench, model):
    options = bench.options
    contestant = Contestant("bench_onnxruntime.py", [
        "--network", str(bench.onnx(model)), "--data", str(options.data)], options.threads)
    try:
        bench.versions["ONNX Runtime"] = contestant.about["onnxruntime"]
        turns = {"fmnist": lambda: fmnist_turn(bench, model)}
        turns |= {f"ONNX Runtime {name}":
                  lambda name=name: reference_turn(contestant, name, options.seconds)
                  for name in contestant.about["configurations"]}
        return take_turns(f"{model}, inference", turns, options.rounds, shown)
    finally:
        contestant.close()


def measure(bench):
    comparisons, rows = [], []
    for model in bench.models(MODELS):
        turns = take(bench, model)
        rows += percentile_rows(model, turns)
        for batch in (SINGLE, MANY):
            for precision in [p for p in ("fp32", "bf16") if (p, batch) in turns["fmnist"][0]]:
                comparisons += compare(model, turns, precision, batch)
    percentiles = [["Percentiles of single images, in microseconds, medians of the rounds:"],
                   table(("model", "contestant", "precision", "p50", "p90", "p99"), rows,
                         numbers=(3, 4, 5))]
    return Part(
        "Inference", "From u8 images in memory to probabilities, on ONNX Runtime's CPU provider "
        "with the file that `fmnist export` writes, in fp32. Of single images the median time "
        f"counts, at batch {MANY} the images by the median time. fmnist is timed in C, ONNX "
        "Runtime in Python. In single images fmnist passes over a dense layer's inputs that are "
        "zero, so its time depends on the network and the images: trained by recipe quick, and "
        "the data set's, for both.",
        comparisons, bench.left_out() + percentiles)
