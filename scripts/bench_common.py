"""What the parts of scripts/bench-vs share: contestants, which are processes that are timed in
turns; what fmnist is asked; and comparisons, held to their goals, as tables.

This process imports no large package: what it starts would begin with its memory, as the kernel
counts peaks, and so would be measured wrongly by bench_memory.py.
"""

import gzip
import json
import math
import os
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile

SCRIPTS = pathlib.Path(__file__).resolve().parent
LAYOUTS = {"eager": "contiguous", "eager, channels_last": "channels_last"}
PROBE_STEPS = 3
PROBES = 2
FOLLOWED_UP = 0.8  # of the best rate in the trial, which differs from the next by as much as a tenth
# glibc gives large blocks back to the kernel as they are freed, and has them zeroed again in each
# step: a fifth of the time of PyTorch's. Keeping them, in huge pages where the kernel has them, as
# fmnist does, costs memory: for throughput alone.
KEEPING_MEMORY = {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.top_pad=67108864:"
                                    "glibc.malloc.trim_threshold=68719476736:"
                                    "glibc.malloc.hugetlb=1"}


class Failed(Exception):
    """A contestant or a command that did not do what it was asked to; says why in a line."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def last_line(text, status):
    """What a program said last; an error, not the hints behind it."""
    lines = [line for line in text.strip().splitlines() if not line.startswith("hint:")]
    return lines[-1] if lines else f"exit status {status}"


# ---- Contestants


class Contestant:
    """A Python process of this folder that says what it is in a line of JSON, and then answers each
    line of JSON with one. Between them it waits without using the processor."""

    def __init__(self, script, arguments, threads, environment=None):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, SCRIPTS / script, *arguments, "--threads", str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env=dict(os.environ, OMP_NUM_THREADS=str(threads), **(environment or {})))
        self.about = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            self.errors.seek(0)
            raise Failed(last_line(self.errors.read(), status))
        return json.loads(line)

    def ask(self, **question):
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: the answer says why
        return self.answer()

    def images_per_second(self, steps):
        answer = self.ask(steps=steps)
        return answer["images"] / answer["seconds"]

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # of a question that could not be put
        self.process.stdout.close()
        self.process.wait()
        self.errors.close()


def open_pytorch(work, begin, thorough):
    """PyTorch's configurations by name, and the reasons of those that do not take part. Compiling
    takes a minute, so that it is done in those layouts alone that are not clearly slower in a
    trial, unless `thorough`. begin(layout, compiled) starts a contestant."""
    contestants, absent, rates = {}, {}, {}

    def leave(name, error):
        if name in contestants:
            contestants.pop(name).close()
        absent[name] = f"failed: {error}"
        say(f"{work}: PyTorch {name} failed: {error}")

    def enter(name, layout, compiled):
        say(f"{work}: preparing PyTorch {name}")
        try:
            contestants[name] = begin(layout, compiled)
            contestants[name].images_per_second(1)
        except Failed as error:
            leave(name, error)

    for name, layout in LAYOUTS.items():
        enter(name, layout, False)
    for _ in range(PROBES):  # in turns
        for name, contestant in list(contestants.items()):
            try:
                rates[name] = max(contestant.images_per_second(PROBE_STEPS), rates.get(name, 0))
            except Failed as error:
                rates.pop(name, None)
                leave(name, error)
    if rates and not thorough:
        best = max(rates, key=rates.get)
        for name in [n for n in rates if rates[n] < FOLLOWED_UP * rates[best]]:
            contestants.pop(name).close()
            absent[name] = (f"{rates[name]:,.0f} in a trial, the better of {PROBES} times "
                            f"{PROBE_STEPS} steps, {best} {rates[best]:,.0f}: not followed up")
    for name, layout in LAYOUTS.items():
        if thorough or name in contestants:
            enter(name.replace("eager", "compiled"), layout, True)
    if not contestants:
        raise Failed(f"no configuration of PyTorch runs here: {'; '.join(absent.values())}")
    return contestants, absent


def take_turns(work, contestants, rounds, shown):
    """Calls each contestant in each round, A B C A B C, so that a machine that slows down slows all
    of them. Returns the values by name; shown(value) is how progress tells one."""
    values = {name: [] for name in contestants}
    for turn in range(rounds):
        for name, measure in contestants.items():
            values[name].append(measure())
        say(f"{work}, round {turn + 1} of {rounds}: "
            + "; ".join(f"{name} {shown(all_of_it[-1])}" for name, all_of_it in values.items()))
    return values


# ---- fmnist, and what it is given


def cut_idx(source, target, count):
    """The first `count` items of an IDX file as another one."""
    with gzip.open(source) as file:
        magic, items = struct.unpack(">II", file.read(8))
        if items < count:
            raise Failed(f"{source}: {items} items, expected at least {count}")
        shape = file.read(4 * ((magic & 0xFF) - 1))
        size = math.prod(struct.unpack(f">{len(shape) // 4}I", shape))
        with gzip.open(target, "wb", compresslevel=1) as cut:
            cut.write(struct.pack(">II", magic, count) + shape)
            for _ in range(count):
                cut.write(file.read(size))


class Bench:
    """The options, and what the parts make once and use several times."""

    def __init__(self, options, scratch):
        self.options = options
        self.scratch = pathlib.Path(scratch)
        self.info = self.fmnist_json("info")
        cpu = next(b for b in self.info["backends"] if b["name"] == "cpu")
        self.device = cpu["details"]
        self.libraries = cpu["libraries"]
        self.amx = "amx_bf16" in self.device.replace(",", " ").split()
        self.no_bf16 = None if "bf16" in cpu["precisions"] else self.refusal_of_bf16()
        self.versions = {}  # of the packages that took part, by name

    def fmnist(self, *arguments):
        """What it prints."""
        command = [self.options.fmnist, *map(str, arguments)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Failed(f"fmnist {arguments[0]}: {last_line(done.stderr, done.returncode)}")
        return done.stdout

    def fmnist_json(self, *arguments):
        return json.loads(self.fmnist(*arguments, "--format", "json"))

    def refusal_of_bf16(self):
        try:
            self.fmnist("bench", "--model", "simple", "--start", "--backend", "cpu",
                        "--precision", "bf16")
        except Failed as error:
            return str(error)
        return "fmnist info does not list it"

    def precisions(self):
        """Those asked for that are native here."""
        return [p for p in self.options.precisions if p != "bf16" or not self.no_bf16]

    def left_out(self):
        """A paragraph on bf16 where it was asked for and is not native here; else none."""
        if "bf16" in self.options.precisions and self.no_bf16:
            return [[f"bf16 is left out: {self.no_bf16}"]]
        return []

    def models(self, usual):
        return self.options.models or usual

    def data(self, train, test=500):
        """A folder with the first images of the data set."""
        folder = self.scratch / f"data-{train}-{test}"
        if not folder.is_dir():
            folder.mkdir()
            for part, count in (("train", train), ("t10k", test)):
                for kind in ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"):
                    name = f"{part}-{kind}"
                    cut_idx(self.options.data / name, folder / name, count)
        return folder

    def run(self, model):
        """A finished run of recipe quick in fp32: a trained model has zeros where its units are
        silent, and those are passed over in single images."""
        folder = self.scratch / f"run-{model}"
        if not folder.is_dir():
            say(f"{model}: training by recipe quick, for a run to predict with")
            self.fmnist("train", "--model", model, "--recipe", "quick", "--precision", "fp32",
                        "--backend", "cpu", "--threads", self.options.threads, "--data",
                        self.options.data, "--out", folder, "--quiet")
        return folder

    def onnx(self, model):
        folder = self.scratch / f"onnx-{model}"
        if not folder.is_dir():
            self.fmnist("export", self.run(model), "--format", "onnx", "--out", folder)
        return folder / "model.onnx"


# ---- Comparisons


class Goal:
    """What a ratio of fmnist's figure to the reference's is held to."""

    def __init__(self, at_least=None, at_most=None, amx=False):
        self.at_least, self.at_most, self.amx = at_least, at_most, amx

    def text(self):
        reach = f"at least {self.at_least:g}" if self.at_least else f"at most {self.at_most:g}"
        return reach + (" with AMX" if self.amx else "")

    def verdict(self, ratio, amx):
        if self.amx and not amx:
            return "no AMX here"
        met = ratio >= self.at_least if self.at_least else ratio <= self.at_most
        return "met" if met else "not met"


GOALS = {  # by part and what is compared
    ("train", "simple", "fp32"): Goal(at_least=2),
    ("train", "deeper", "fp32"): Goal(at_least=1.25),
    ("train", "vgg16", "fp32"): Goal(at_least=1.2),
    ("train", "simple", "bf16"): Goal(at_least=2.5, amx=True),
    ("train", "deeper", "bf16"): Goal(at_least=2, amx=True),
    ("train", "vgg16", "bf16"): Goal(at_least=1.5),
    ("infer", "simple", 1): Goal(at_least=2),
    ("infer", "deeper", 1): Goal(at_least=1.3),
    ("infer", "simple", 256): Goal(at_least=1.05),
    ("infer", "deeper", 256): Goal(at_least=1.05),
    ("infer", "simple", 256, "bf16"): Goal(at_least=4, amx=True),
    ("infer", "deeper", 256, "bf16"): Goal(at_least=4, amx=True),
    ("memory", "deeper", "fp32"): Goal(at_most=0.25),
    ("memory", "deeper", "bf16"): Goal(at_most=0.25),
    ("features", "bf16"): Goal(at_least=1.5, amx=True),
    ("start", "simple"): Goal(at_most=0.1),
    ("start", "deeper"): Goal(at_most=0.1),
}


class Comparison:
    """Of one piece of work: fmnist's values of all rounds, those of each configuration of the
    reference, and why other configurations are absent. The ratio is of the medians, to the best
    configuration. less: small values are good, as of times; the ratio is then turned round, so that
    a large one is good, unless it is to be a `share` of the reference's. figure(value) writes a
    value with its unit; `listed` are the contestants that all_rows() tells of, all by default."""

    def __init__(self, work, goal, ours, theirs, absent=None, less=False, share=False,
                 figure="{:,.0f}".format, listed=None):
        self.work, self.ours, self.theirs, self.figure = work, ours, theirs, figure
        self.absent = absent or {}
        self.listed = ["fmnist", *theirs] if listed is None else listed
        self.goal = GOALS.get(goal)
        medians = {name: statistics.median(values) for name, values in theirs.items()}
        self.best = (min if less else max)(medians, key=medians.get)
        self.ratio = statistics.median(ours) / medians[self.best]
        if less and not share:
            self.ratio = 1 / self.ratio

    def is_share(self):
        return self.goal is not None and self.goal.at_most is not None

    def row(self, amx):
        goal = (self.goal.text(), self.goal.verdict(self.ratio, amx)) if self.goal else ("", "")
        return (self.work, self.figure(statistics.median(self.ours)),
                self.figure(statistics.median(self.theirs[self.best])), self.best,
                f"{self.ratio:.{3 if self.is_share() else 2}f}", *goal)

    def all_rows(self):
        everyone = {"fmnist": self.ours, **self.theirs}
        for name in self.listed:
            values = everyone[name]
            spread = f" ({self.figure(min(values))} to {self.figure(max(values))})"
            yield (self.work, name,
                   self.figure(statistics.median(values)) + spread * (len(values) > 1))
        for name, reason in self.absent.items():
            yield self.work, name, reason


class Part:
    """A part of the report: a heading, what was done in a few sentences, the comparisons, and
    blocks of Markdown, each a list of lines, that follow their tables."""

    def __init__(self, title, about, comparisons, blocks=()):
        self.title, self.about = title, about
        self.comparisons, self.blocks = comparisons, blocks

    def markdown(self, amx):
        blocks = [[f"## {self.title}"], [self.about]]
        if self.comparisons:
            blocks += [
                table(("work", "fmnist", "the best of the others", "which is", "ratio", "goal",
                       "verdict"), [c.row(amx) for c in self.comparisons], numbers=(1, 2, 4)),
                ["All that took part, medians (least to most):"],
                table(("work", "contestant", "figure"),
                      [row for c in self.comparisons for row in c.all_rows()])]
        blocks += self.blocks
        return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def table(columns, rows, numbers=()):
    """Lines of a Markdown table; columns of `numbers` are flushed right."""
    marks = ["--:" if i in numbers else "---" for i in range(len(columns))]
    lines = ["| " + " | ".join(columns) + " |", "|" + "|".join(marks) + "|"]
    return lines + ["| " + " | ".join(str(cell).replace("|", r"\|") for cell in row) + " |"
                    for row in rows]
