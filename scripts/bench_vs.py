#!/usr/bin/env python3
"""Training throughput of fmnist and of PyTorch, side by side; scripts/bench-vs calls this.

What is timed on both sides: whole training steps (forward, backward, Adam, dropout) on batches of
Fashion-MNIST, and nothing else: no evaluation, no reading of files, no compilation. PyTorch takes
its batches from a list of tensors normalised beforehand, which costs it nothing; fmnist gathers,
shuffles and normalises as in any training. Before the clock starts PyTorch takes three steps, and
fmnist an epoch of as many steps as the measured one.

The contestants take turns, A B C ... A B C ..., so that a machine that slows down slows all of
them, and the median of the rounds counts.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile

MODELS = ("simple", "deeper", "vgg16")
CONFIGURATIONS = {  # of PyTorch: arguments of bench_pytorch.py
    "eager": ["--layout", "contiguous"],
    "eager, channels_last": ["--layout", "channels_last"],
    "compiled": ["--layout", "contiguous", "--compile"],
    "compiled, channels_last": ["--layout", "channels_last", "--compile"],
}
TRAINING_IMAGES = 54000  # fmnist's training split, which an epoch cannot exceed
DATA_PLACES = ("~/.local/share/fmnist", "/usr/share/datasets/fashion-mnist")


class Failed(Exception):
    pass


class Pytorch:
    """A process that holds one configuration and times it when it is asked to."""

    def __init__(self, options, model, configuration):
        self.batch = options.batch
        self.errors = tempfile.TemporaryFile("w+")
        script = pathlib.Path(__file__).with_name("bench_pytorch.py")
        self.process = subprocess.Popen(
            [sys.executable, script, "--model", model, *CONFIGURATIONS[configuration],
             "--batch", str(options.batch), "--batches", str(options.most_steps),
             "--threads", str(options.threads), "--data", str(options.data)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env=dict(os.environ, OMP_NUM_THREADS=str(options.threads)))
        self.about = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            words = self.errors.read().strip().splitlines()
            raise Failed(words[-1] if words else f"exit status {self.process.returncode}")
        return json.loads(line)

    def images_per_second(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return steps * self.batch / self.answer()["seconds"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Fmnist:
    """A training of two epochs each time, of which the second counts."""

    def __init__(self, options, model):
        self.options = options
        self.model = model

    def command(self, steps, out):
        o = self.options
        return [o.fmnist, "train", "--model", self.model, "--recipe", "reference",
                "--epochs", "2", "--epoch-images", str(steps * o.batch), "--batch", str(o.batch),
                "--train-eval", "256", "--backend", "cpu", "--precision", "fp32",
                "--threads", str(o.threads), "--data", str(o.data),
                "--out", str(out), "--force", "--quiet"]

    def images_per_second(self, steps):
        with tempfile.TemporaryDirectory() as out:
            subprocess.run(self.command(steps, out), check=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL)
            times = pathlib.Path(out, "times.jsonl").read_text().splitlines()
            return json.loads(times[-1])["images_per_second"]

    def close(self):
        pass


def fmnist_json(options, *arguments):
    output = subprocess.run([options.fmnist, *arguments, "--format", "json"], check=True,
                            stdout=subprocess.PIPE, text=True)
    return json.loads(output.stdout)


def say(text):
    print(text, file=sys.stderr, flush=True)


def open_pytorch(options, model, parameters):
    """The configurations that run here, and why the others do not."""
    contestants, failures = {}, {}
    for configuration in CONFIGURATIONS:
        say(f"{model}: preparing PyTorch {configuration}")
        try:
            contestant = Pytorch(options, model, configuration)
        except Failed as error:
            failures[configuration] = str(error)
            say(f"{model}: PyTorch {configuration} failed: {error}")
            continue
        if contestant.about["parameters"] != parameters:
            sys.exit(f"{model}: PyTorch's has {contestant.about['parameters']} parameters, "
                     f"fmnist's {parameters}: they are not the same model")
        contestants[configuration] = contestant
    if not contestants:
        sys.exit(f"{model}: no configuration of PyTorch runs here")
    return contestants, failures


def measure(options, model, parameters):
    pytorch, failures = open_pytorch(options, model, parameters)
    first = next(iter(pytorch.values()))
    steps = options.steps
    if not steps:  # as many as PyTorch does in five seconds
        steps = round(5 * first.images_per_second(3) / options.batch)
    steps = max(8, min(options.most_steps, steps))

    contestants = {"fmnist": Fmnist(options, model), **pytorch}
    rates = {name: [] for name in contestants}
    for turn in range(options.rounds):
        for name, contestant in contestants.items():
            rates[name].append(contestant.images_per_second(steps))
        say(f"{model}, round {turn + 1} of {options.rounds}, {steps} steps each, images a second: "
            + "; ".join(f"{name} {values[-1]:,.0f}" for name, values in rates.items()))
    for contestant in contestants.values():
        contestant.close()
    return {"model": model, "steps": steps, "rates": rates, "failures": failures,
            "about": first.about}


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def report(options, results):
    def cell(result, name):
        if name in result["failures"]:
            return "failed"
        rates = result["rates"][name]
        return f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"

    lines = [
        "# Training throughput beside PyTorch", "",
        f"Images a second in training, fp32, batch {options.batch}, {options.threads} threads: the",
        f"median of {options.rounds} rounds, taken in turns (least to most). The ratio is fmnist's",
        "median to that of PyTorch's best configuration.", "",
        "| model | fmnist | " + " | ".join(f"PyTorch {name}" for name in CONFIGURATIONS)
        + " | ratio to the best |",
        "|---|" + "--:|" * (len(CONFIGURATIONS) + 2),
    ]
    for result in results:
        medians = {name: statistics.median(rates) for name, rates in result["rates"].items()}
        ours = medians.pop("fmnist")
        cells = [result["model"], cell(result, "fmnist")]
        cells += [cell(result, name) for name in CONFIGURATIONS]
        lines.append("| " + " | ".join(cells) + f" | {ours / max(medians.values()):.2f} |")

    about = results[0]["about"]
    info = fmnist_json(options, "info")
    lines += [
        "",
        f"- Command: `{options.command}`",
        "- Steps a round: " + ", ".join(f"{r['model']} {r['steps']}" for r in results),
        f"- Processor: {processor()}, {len(os.sched_getaffinity(0))} cores usable, "
        f"{platform.system()} {platform.release()}; load average before {options.load:.1f}",
        f"- fmnist {info['version']}: " + "; ".join(
            f"{b['name']}: {b['libraries']}" for b in info["backends"] if b.get("libraries")),
        f"- PyTorch {about['torch']} from PyPI, {about['capability']} kernels, Adam(fused=True); "
        f"Python {platform.python_version()}",
        f"- Date: {datetime.date.today().isoformat()}",
    ]
    for result in results:
        for name, reason in result["failures"].items():
            lines.append(f"- {result['model']}, PyTorch {name} failed: {reason}")
    return "\n".join(lines) + "\n"


def find_data(given):
    for place in (given, os.environ.get("FMNIST_DATA"), *DATA_PLACES):
        if place:
            directory = pathlib.Path(place).expanduser()
            if (directory / "train-images-idx3-ubyte.gz").is_file():
                return directory.resolve()
    sys.exit("bench-vs: no train-images-idx3-ubyte.gz found: install the Debian package "
             "dataset-fashion-mnist or give --data DIR")


def model_names(text):
    chosen = text.split(",")
    for name in chosen:
        if name not in MODELS:
            raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(MODELS)}")
    return chosen


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/bench-vs", allow_abbrev=False,
        description="Training throughput of fmnist and PyTorch, side by side.")
    parser.add_argument("--models", type=model_names, default=["simple", "deeper"],
                        help="of simple, deeper, vgg16 (default: simple,deeper)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="a round (default: about five seconds of them)")
    parser.add_argument("--data", help="folder of the data set's files")
    parser.add_argument("--out", type=pathlib.Path, help="write the table to this file too")
    parser.add_argument("--fmnist", default="build/fmnist", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.data = find_data(options.data)
    options.most_steps = min(200, TRAINING_IMAGES // options.batch)
    options.load = os.getloadavg()[0]
    if options.load > 0.5:
        say(f"warning: something else is running here (load average {options.load:.1f}): the rates "
            "will be lower than they could be")
    shown = [a for i, a in enumerate(sys.argv[1:]) if "--fmnist" not in sys.argv[i:i + 2]]
    options.command = shlex.join(["scripts/bench-vs", *shown])

    parameters = {m["name"]: m["parameters"] for m in fmnist_json(options, "models")}
    results = [measure(options, model, parameters[model]) for model in options.models]
    text = report(options, results)
    print(text, end="")
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
