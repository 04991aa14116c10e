"""The stage of scripts/gpu-acceptance that runs a short training under compute-sanitizer.

The project's kernels are held to no report at all. What the tool says of kernels inside NVIDIA's own
libraries, which nobody here can mend and some of which it is known to misjudge, is told and counted
apart.
"""

import os
import pathlib
import re
import shutil

ERRORS = 99  # exit status of the tool where it has found something
TOOLS = {
    "memcheck": (["--leak-check", "full"], r"ERROR SUMMARY: (\d+) error"),
    "racecheck": ([], r"RACECHECK SUMMARY: (\d+) hazard"),
    "initcheck": ([], r"ERROR SUMMARY: (\d+) error"),
}
# Every call is checked by the program itself; that an event is not over yet is no failure.
PRINTED = 1000  # reports that are seen
COMMON = ["--error-exitcode", str(ERRORS), "--print-limit", str(PRINTED), "--report-api-errors", "no"]
# In the names of NVIDIA's kernels and libraries, and of no kernel of ours.
NVIDIA = re.compile(r"cudnn|cublas|cutlass|cask|xmma|nvjet|gemm|winograd|libnv|libcuda\.", re.I)


def find():
    """The program: in PATH, or where the toolkit installs it."""
    folders = [os.environ.get(name, "") for name in ("CUDA_HOME", "CUDA_PATH")] + ["/usr/local/cuda"]
    places = [pathlib.Path(folder, "bin/compute-sanitizer") for folder in folders if folder]
    return shutil.which("compute-sanitizer") or next(
        (str(place) for place in places if place.is_file()), "compute-sanitizer")


def reports(text):
    """Each report, as the lines that belong to it: the first begins behind the mark, the others are
    indented."""
    found = []
    for line in text.splitlines():
        said = re.match(r"=========( +)(.*)", line)
        if not said or not said[2] or re.match(r"COMPUTE-SANITIZER|(\w+ )?\w* ?SUMMARY", said[2]):
            continue
        if len(said[1]) == 1:
            found.append([said[2]])
        elif found:
            found[-1].append(said[2])
    return found


def is_nvidias(report):
    """By the kernel that it names, not by the libraries that a call comes through."""
    kernel = [line for line in report if re.match(r"(at|Access by|Race reported|and) ", line)]
    return any(NVIDIA.search(line) for line in kernel + report[:1])


def judge(stage, tool, done, summary, rows):
    if done.waits:
        return
    said = done.output + done.errors
    total = re.search(summary, said)
    total = int(total[1]) if total else None
    found = reports(said) if total else []
    theirs = [report for report in found if is_nvidias(report)]
    ours = None if total is None else min(total, PRINTED) - len(theirs)
    if total is not None and total > PRINTED:
        stage.note(f"{tool}: of {total} reports the first {PRINTED} were looked at")
    rows.append([tool, ours, len(theirs), round(done.seconds, 1)])
    if done.status != ERRORS or ours:
        stage.ended_well(f"{tool}: fmnist train", done)
    stage.check(f"{tool}: errors", ours == 0, ours, "0, in the tool's summary, but for NVIDIA's kernels")
    for report in [r for r in found if r not in theirs][:4] + theirs[:2]:
        stage.note(f"{tool}: " + " / ".join(report[:6]))


def run(stage, options, precision):
    rows = stage.table("compute-sanitizer", ["tool", "errors", "in NVIDIA's kernels", "seconds"])
    training = [options.bundle / "bin/fmnist", "train", "--model", "simple" if options.quick else "deeper",
                "--epochs", "1", "--epoch-images", "192", "--batch", "64", "--train-eval", "64", "--backend",
                options.backend, "--data", options.bundle / "data/tiny", "--out", options.out / "runs/sanitizer",
                "--force", "--quiet", *precision]
    # Without a tool first: it chooses the plans, each by running it, which would take a tool long. They
    # are this stage's own: times taken under a tool say nothing.
    environment = dict(options.environment, XDG_CACHE_HOME=str(options.out / "plans-sanitizer"))
    if not stage.ended_well("fmnist train", stage.run(training, 60, environment)):
        return
    for tool, (arguments, summary) in TOOLS.items():
        command = [options.sanitizer, "--tool", tool, *arguments, *COMMON, *training]
        judge(stage, tool, stage.run(command, 130, environment), summary, rows)
