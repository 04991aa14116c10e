#!/usr/bin/env python3
"""fmnist beside PyTorch and ONNX Runtime, side by side; scripts/bench-vs calls this.

Each part (bench_train.py and so on) says what it times. The contestants take turns, A B C A B C,
so that a machine that slows down slows all of them, and the median of the rounds counts. A part
that fails is told of in the report, and the others go on.
"""

import argparse
import datetime
import os
import pathlib
import platform
import shlex
import signal
import sys
import tempfile
import time

import bench_features
import bench_infer
import bench_memory
import bench_speedrun
import bench_start
import bench_train
from bench_common import Bench, Failed, Part, say

PARTS = {
    "train": bench_train,
    "infer": bench_infer,
    "memory": bench_memory,
    "features": bench_features,
    "start": bench_start,
    "speedrun": bench_speedrun,
}
USUAL = [name for name in PARTS if name != "speedrun"]
DATA_PLACES = ("~/.local/share/fmnist", "/usr/share/datasets/fashion-mnist")


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def report(bench, parts):
    options = bench.options
    packages = [f"{name} {version}" for name, version in sorted(bench.versions.items())]
    facts = [
        f"Command: `{options.command}`",
        f"Processor: {processor()}, {len(os.sched_getaffinity(0))} cores usable, "
        f"{'AMX' if bench.amx else 'no AMX'}; {bench.device}",
        f"System: {platform.system()} {platform.release()}, load average before "
        f"{options.load:.1f}",
        f"fmnist {bench.info['version']}, {bench.info['build']['compiler']}, "
        f"{bench.info['build']['type']}; {bench.libraries}",
        "From PyPI: " + "; ".join([*packages, f"Python {platform.python_version()}"]),
        f"Date: {datetime.date.today().isoformat()}",
    ]
    head = (f"# Speed on the CPU beside PyTorch and ONNX Runtime\n\n{options.threads} threads; the "
            f"median of the turns of each ({options.rounds}). The ratio is fmnist's median to that "
            "of the\nbest configuration of the others, a larger one being better but where the "
            "goal is a share.\n\n")
    return head + "\n".join([f"- {fact}" for fact in facts]) + "\n\n" + "\n".join(
        part.markdown(bench.amx) for part in parts)


def measure(bench, name):
    say(f"part {name}")
    begin = time.monotonic()
    try:
        part = PARTS[name].measure(bench)
    except Failed as error:
        say(f"part {name} failed: {error}")
        return Part(name.capitalize(), f"This part failed: {error}", []), False
    say(f"part {name}: {(time.monotonic() - begin) / 60:.1f} minutes")
    return part, True


def find_data(given):
    for place in (given, os.environ.get("FMNIST_DATA"), *DATA_PLACES):
        if place:
            directory = pathlib.Path(place).expanduser()
            if (directory / "train-images-idx3-ubyte.gz").is_file():
                return directory.resolve()
    sys.exit("bench-vs: no train-images-idx3-ubyte.gz found: install the Debian package "
             "dataset-fashion-mnist or give --data DIR")


def some_of(known):
    """The type of an option that takes a few of these, with commas between them."""
    def parse(text):
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(known)}")
        return [name for name in known if name in chosen]

    return parse


def count(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def seconds(text):
    value = float(text)
    if not 0.01 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.01 and 3600")
    return value


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench-vs", allow_abbrev=False,
        description="The speed of fmnist beside PyTorch and ONNX Runtime, as a report in Markdown.")
    parser.add_argument("--parts", type=some_of(PARTS), default=USUAL,
                        help=f"of {', '.join(PARTS)} (default: all but speedrun, half an hour)")
    parser.add_argument("--models", type=some_of(bench_train.MODELS),
                        help="of simple, deeper, vgg16 (default: those that have a goal in a part)")
    parser.add_argument("--precision", dest="precisions", type=some_of(("fp32", "bf16")),
                        default=["fp32", "bf16"],
                        help="of fp32, bf16 (default: both, bf16 where it is native)")
    parser.add_argument("--threads", type=count, default=2)
    parser.add_argument("--batch", type=count, default=256, help="of training (default: 256)")
    parser.add_argument("--rounds", type=count, default=3, help="turns of each (default: 3)")
    parser.add_argument("--seconds", type=seconds, default=2,
                        help="a turn lasts about (default: 2)")
    parser.add_argument("--steps", type=count, help="of training a turn, in place of --seconds; "
                        "of a speedrun the epochs")
    parser.add_argument("--feature-images", type=count, default=3072,
                        help="that VGG16's features are computed of (default: 3072)")
    parser.add_argument("--thorough", action="store_true",
                        help="all configurations of PyTorch take part to the end")
    parser.add_argument("--data", help="folder of the data set's files")
    parser.add_argument("--out", type=pathlib.Path, help="write the report to this file, too")
    parser.add_argument("--fmnist", default="build/fmnist", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    options = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was made is removed
    options.data = find_data(options.data)
    options.load = os.getloadavg()[0]
    if options.load > 0.5:
        say(f"warning: something else is running here (load average {options.load:.1f}): the rates "
            "will be lower than they could be")
    shown = [a for i, a in enumerate(sys.argv[1:]) if "--fmnist" not in sys.argv[i:i + 2]]
    options.command = shlex.join(["scripts/bench-vs", *shown])

    parts, whole = [], True
    with tempfile.TemporaryDirectory(prefix="bench-vs-") as scratch:
        try:
            bench = Bench(options, scratch)
        except Failed as error:
            sys.exit(f"bench-vs: {error}")
        for name in options.parts:
            part, good = measure(bench, name)
            parts.append(part)
            whole = whole and good
            if options.out:  # of the parts so far: a run that is stopped leaves what it had
                options.out.write_text(report(bench, parts))
        print(report(bench, parts), end="")
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
