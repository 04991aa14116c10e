"""The stage of scripts/gpu-acceptance that runs a short training under compute-sanitizer.

The project's kernels are held to no report at all. What the tool says of kernels inside NVIDIA's own
libraries, which nobody here can mend and some of which it is known to misjudge, is told and counted
apart. The project's are those that the bundle's manifest names; whatever other name a kernel has
is NVIDIA's, who choose theirs as they like.
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
# What a report says of where in a kernel, or in a function that one calls, it happened. Address and
# line of a source stand in front of the name or behind it, as the tool's version has it.
PLACE = re.compile(r"(?:at|and \w+ access at|(?:\w+: )?Race reported between \w+ access at|"
                   r"Device Frame:) ?(?:0x[0-9a-f]+ in )?(?:\S+:\d+:)?(?!0x)(.+)")
UNNAMED = re.compile(r"\(anonymous namespace\)::|<unnamed>::|_GLOBAL__N_\w*::")
KERNEL = re.compile(r"__global__\s+void\s+(?:__launch_bounds__\([^()]*\)\s*)?(\w+)\s*\(")
# What every allocation comes through; and those who make some for themselves.
RUNTIME = re.compile(r"lib(cuda|cudart)\.so")
THEIRS = re.compile(r"lib(cudnn|cublas|nv)")


def kernels_of(sources):
    """The names of the __global__ functions of CUDA sources, all in unnamed namespaces."""
    names = set()
    for source in sources:
        text = re.sub(r"//.*|/\*.*?\*/", "", source.read_text(), flags=re.M)
        found = KERNEL.findall(text)
        if len(found) != text.count("__global__"):
            raise ValueError(f"{source}: a kernel whose name cannot be told")
        names.update(found)
    return sorted(names)


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


def unmangled(name):
    """The qualified name at the begin of a mangled one: of _ZN3fig4plotIfEEvPf fig::plot."""
    parts, rest = [], name[2:].lstrip("N")
    while length := re.match(r"\d+", rest):
        end = length.end() + int(length[0])
        parts.append(rest[length.end():end])
        rest = rest[end:]
    return "::".join(parts)


def name_of(place):
    """A function's name with its namespaces, unnamed ones left out, and without return type and
    arguments, its template's, too."""
    name = re.split(r"[<(+\[]", UNNAMED.sub("", place))[0].split()
    if not name:
        return ""
    return UNNAMED.sub("", unmangled(name[-1])) if name[-1].startswith("_Z") else name[-1]


def is_nvidias(report, kernels):
    """By the kernel that it names, not by the libraries that a call comes through. What names none,
    as of memory that was not freed, is theirs whose library asked for the memory."""
    names = [name_of(place[1]) for place in map(PLACE.match, report) if place]
    if names:
        return not any(name in kernels for name in names)
    frames = [pathlib.PurePath(line.split(" in ")[-1]).name for line in report
              if line.startswith("Host Frame:")]
    callers = [frame for frame in frames if not RUNTIME.match(frame)]
    return bool(callers and THEIRS.match(callers[0]))


def judge(stage, tool, done, summary, rows, kernels):
    if done.waits:
        return
    said = done.output + done.errors
    total = re.search(summary, said)
    total = int(total[1]) if total else None
    found = reports(said) if total else []
    theirs = [report for report in found if is_nvidias(report, kernels)]
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
    kernels = set(options.manifest["kernels"])
    rows = stage.table("compute-sanitizer", ["tool", "errors", "in NVIDIA's kernels", "seconds"])
    training = [options.bundle / "bin/fmnist", "train", "--model", "simple" if options.quick else "deeper",
                "--epochs", "1", "--epoch-images", "192", "--batch", "64", "--train-eval", "64", "--backend",
                options.backend, "--data", options.bundle / "data/tiny", "--out", options.out / "runs/sanitizer",
                "--force", "--quiet", *precision]
    # Without a tool first: it chooses the plans, each by running it, which would take a tool long. They
    # are this stage's own: times taken under a tool say nothing.
    environment = dict(options.environment, XDG_CACHE_HOME=str(options.out / "plans-sanitizer"))
    if not stage.ended_well("fmnist train", stage.run(training, 60, environment, retries=2)):
        return
    for tool, (arguments, summary) in TOOLS.items():
        command = [options.sanitizer, "--tool", tool, *arguments, *COMMON, *training]
        judge(stage, tool, stage.run(command, 130, environment), summary, rows, kernels)
