"""A stage of scripts/gpu-acceptance: the commands that it ran, what was found and what was expected,
its tables; all of it in one JSON file, which is written anew after every command, so that a stage that is
killed leaves what it had. And the Markdown page over all stages of a folder.

What a command that has ended printed is kept, too, in the folder `commands`: a stage that is run again,
with the same bundle on the same device, goes on behind it. One that is stopped because the stage's time is
used up waits for another call. What is made of one that runs past its own time is the stage's to say:
it has failed; or it was to be compared with, and is left out; or it gets further in each call, as it
keeps what takes long, so that it waits for another one, twice.

A check that does not hold makes the stage fail. A goal is a figure that the design aims at: a missed
one is told apart, but told.
"""

import datetime
import hashlib
import json
import os
import pathlib
import platform
import shlex
import signal
import subprocess
import tarfile
import time

ORDER = ("tests", "bench", "train", "pytorch", "parity", "costs", "sanitizer")
# What else may decide how a command ends; the libraries are the bundle's and the machine's.
OF_ENVIRONMENT = ("FM_TEST_FILTER", "XDG_CACHE_HOME")


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def output_of(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def machine():
    processor = platform.machine()
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.split(":", 1)[1].strip()
            break
    return {"processor": processor, "cores": len(os.sched_getaffinity(0)),
            "system": f"{platform.system()} {platform.release()}"}


def gpu():
    """What nvidia-smi says of the first GPU, or None."""
    fields = ("name", "driver_version", "compute_cap", "memory.total")
    line = output_of("nvidia-smi", "--query-gpu=" + ",".join(fields), "--format=csv,noheader")
    if not line:
        return None
    return dict(zip(fields, (part.strip() for part in line.splitlines()[0].split(","))))


def clocks():
    """How the first GPU stands at the moment: clocks, power, and what holds it back."""
    fields = ("clocks.sm", "clocks.mem", "power.draw", "temperature.gpu", "clocks_event_reasons.active")
    line = output_of("nvidia-smi", "--query-gpu=" + ",".join(fields), "--format=csv,noheader")
    return line.splitlines()[0] if line else None


class Done:
    """A command that has ended: status None when it ran past its time or could not be started. `begun`
    is when, by the clock on the wall; `late`: the seconds that it was given and that were not enough;
    `kept`: an earlier call of the stage ran it; `waits`: another one is to run it."""

    def __init__(self, status, output, errors, seconds, begun=0.0, late=None, kept=False,
                 waits=False):
        self.status, self.output, self.errors, self.seconds = status, output, errors, seconds
        self.begun, self.late, self.kept, self.waits = begun, late, kept, waits

    def json(self):
        try:
            return json.loads(self.output)
        except ValueError:
            return None

    def last_line(self):
        lines = (self.errors.strip() or self.output.strip()).splitlines()
        return lines[-1] if lines else ""

    def says(self):
        """How it ended, for people."""
        if self.status is None:
            return self.errors
        return f"exit status {self.status}" + (f": {self.last_line()}" if self.status else "")

    def left_out(self):
        """Why there is nothing to compare with."""
        return f"left out: took longer than {self.late:g} s"


def run_for(command, limit, environment, folder):
    """Runs a command in a process group of its own, so that what it began ends with it."""
    begun, begin = time.time(), time.monotonic()
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="replace", env=environment, cwd=folder, preexec_fn=os.setpgrp)
    except OSError as error:
        return Done(None, "", f"could not be started: {error}", 0, begun)
    try:
        output, errors = process.communicate(timeout=limit)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        last = ((errors or output).strip().splitlines() or ["nothing"])[-1]
        return Done(None, output, f"stopped after {limit:.0f} s; it said last: {last}",
                    time.monotonic() - begin, begun, late=limit)
    return Done(process.returncode, output, errors, time.monotonic() - begin, begun)


def put(path, text):
    """Writes a whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)


def records(out, stage):
    """The folder of what a stage's commands printed."""
    return out / "commands" / stage


class Stage:
    def __init__(self, name, options, manifest, seconds):
        self.options = options
        self.path = options.out / f"{name}.json"
        self.begin = time.monotonic()
        self.deadline = self.begin + seconds
        self.environment = options.environment
        self.on = json.dumps([manifest["commit"], manifest["built"], options.device, options.gpu])
        self.about = {
            "format": 1, "stage": name, "status": "unfinished", "backend": options.backend,
            "quick": options.quick, "command": options.command, "started": now(), "seconds": 0,
            "limit_seconds": seconds, "skipped": None, "without_time": 0, "clocks": [clocks()],
            "bundle": {key: manifest[key] for key in
                       ("version", "commit", "changed", "built", "cuda", "cudnn", "architectures")},
            "machine": machine(), "gpu": options.gpu, "device": options.device,
            "commands": [], "checks": [], "goals": [], "tables": [], "notes": [],
        }
        self.write()

    def left(self):
        return self.deadline - time.monotonic()

    def write(self):
        self.about["seconds"] = round(time.monotonic() - self.begin, 3)
        put(self.path, json.dumps(self.about, indent=2, allow_nan=False) + "\n")

    def run(self, command, limit, environment=None, folder=None, turn=0, needs=(), retries=0,
            instead=None, is_over=None):
        """Runs a command for at most `limit` seconds of those that the stage has left, with the
        libraries of the bundle unless `environment` says otherwise, in `folder`. What an earlier call
        of the stage ran to its end, on this device, is not run again, if the files that it left and
        that are read, `needs`, are still there; `turn` tells runs of one command apart. One that takes
        longer than `limit` waits for another call `retries` times before that is its end. `instead` is
        run in the command's place, to go on with it; `is_over` says whether it has come to its end
        where it ended well: if not, it waits, too."""
        command = [str(part) for part in command]
        done = self.kept(command, environment, turn, needs)
        if not done:
            instead = [str(part) for part in instead or command]
            record = self._record(command, environment, turn)
            done = self._run_now(instead, limit, environment, folder, record)
            self._judge(done, record, retries, is_over)
        self.about["without_time"] += done.waits
        self.about["commands"].append({
            "command": shlex.join(instead if instead and not done.kept else command),
            "status": done.status, "kept": done.kept, "seconds": round(done.seconds, 3),
            "end": "" if done.status == 0 else done.says()})
        self.write()
        write_markdown(self.options.out)
        return done

    def _record(self, command, environment, turn):
        environment = environment or self.environment
        words = [self.on, str(turn), *map(str, command),
                 *(environment.get(name, "") for name in OF_ENVIRONMENT)]
        name = hashlib.sha256("\0".join(words).encode()).hexdigest()[:24]
        return records(self.options.out, self.about["stage"]) / f"{name}.json"

    def kept(self, command, environment=None, turn=0, needs=()):
        """How a command ended in an earlier call of the stage, or None."""
        path = self._record(command, environment, turn)
        if not path.is_file():
            return None
        done = Done(**json.loads(path.read_text()), kept=True)
        return done if done.late or all(file.is_file() for file in needs) else None

    def lates(self, command, environment=None, turn=0):
        """How often a command took longer than its own time in earlier calls, so that it waits; None
        where none has begun it."""
        path = self._record(command, environment, turn).with_suffix(".lates")
        return int(path.read_text()) if path.is_file() else None

    def _run_now(self, command, limit, environment, folder, record):
        left = self.left()
        if min(limit, left) <= 1:
            return Done(None, "", "not run: the stage's time was used up", 0, waits=True)
        lates = record.with_suffix(".lates")
        if not lates.is_file():
            put(lates, "0")
        done = run_for(command, min(limit, left), environment or self.environment, folder)
        if done.late and limit > left:
            done.late, done.waits = None, True
        return done

    def _judge(self, done, record, retries, is_over):
        """Whether another call is to run a command again that has run; if not, how it ended is kept,
        unless a signal ended it."""
        if done.late:
            lates = record.with_suffix(".lates")
            before = int(lates.read_text())
            put(lates, str(before + 1))
            done.waits = before < retries
        elif done.status == 0 and is_over:
            done.waits = not is_over()
        if not done.waits and (done.late or (done.status is not None and done.status >= 0)):
            put(record, json.dumps({
                "status": done.status, "output": done.output, "errors": done.errors,
                "seconds": done.seconds, "begun": done.begun, "late": done.late}))

    def check(self, name, holds, found, expected):
        self.about["checks"].append({"name": name, "found": found, "expected": expected,
                                     "pass": bool(holds)})
        self.write()
        return bool(holds)

    def ended_well(self, name, done):
        """What had no time is no failure: another call runs it."""
        if done.waits:
            return False
        return self.check(name, done.status == 0, done.says(), "exit status 0")

    def at_most(self, name, found, bound):
        """A missing number (or null: not finite) is no number."""
        return self.check(name, found is not None and found <= bound, found, f"at most {bound:g}")

    def at_least(self, name, found, bound):
        return self.check(name, found is not None and found >= bound, found, f"at least {bound:g}")

    def goal(self, name, met, found, goal):
        self.about["goals"].append({"name": name, "found": found, "goal": goal, "met": bool(met)})
        self.write()

    def note(self, text):
        self.about["notes"].append(text)

    def table(self, title, columns):
        rows = []
        self.about["tables"].append({"title": title, "columns": columns, "rows": rows})
        return rows

    def skip(self, reason):
        self.about["skipped"] = reason

    def end(self):
        about = self.about
        about["clocks"].append(clocks())
        if not all(check["pass"] for check in about["checks"]):
            about["status"] = "failed"
        elif about["without_time"]:
            about["status"] = "unfinished"
        elif about["skipped"]:
            about["status"] = "skipped"
        elif not about["checks"]:
            self.check("something was checked", False, "nothing", "at least one check")
            about["status"] = "failed"
        else:
            about["status"] = "passed"
        self.write()
        return about


def cell(value):
    if value is None:
        return "not measured"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def markdown_table(columns, rows):
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
    return lines + [""]


def summary_row(stage):
    passed = sum(check["pass"] for check in stage["checks"])
    met = sum(goal["met"] for goal in stage["goals"])
    status = stage["status"] + (f": {stage['skipped']}" if stage["skipped"] else "")
    if stage.get("without_time"):
        status += f"; {stage['without_time']} commands wait for another call"
    return [stage["stage"], status, f"{passed} of {len(stage['checks'])}",
            f"{met} of {len(stage['goals'])}" if stage["goals"] else "-",
            f"{stage['seconds']:.0f} s", stage["device"].get("device", "none"), stage["started"]]


def stage_lines(stage):
    bundle, graphics = stage["bundle"], stage["gpu"]
    changed = ", changed" if bundle["changed"] else ""
    lines = [
        f"## {stage['stage']}", "",
        f"- Command: `{stage['command']}`",
        f"- fmnist {bundle['version']}, commit {bundle['commit']}{changed}; built {bundle['built']} with "
        f"CUDA {bundle['cuda'] or 'none'}, cuDNN {bundle['cudnn'] or 'none'}",
        f"- Device: {stage['device'].get('device', 'none')}, {stage['device'].get('details', '')}; "
        f"{stage['device'].get('libraries', '')}",
        "- Clocks, power, temperature, what holds it back, at the begin and the end: "
        + "; ".join(str(at) for at in stage.get("clocks", [])),
        "- GPU: " + (", ".join(f"{k} {v}" for k, v in graphics.items()) if graphics else "none"),
        f"- Machine: {stage['machine']['processor']}, {stage['machine']['cores']} cores, "
        f"{stage['machine']['system']}", ""]
    failed = [c for c in stage["checks"] if not c["pass"]]
    if failed:
        lines += ["Checks that do not hold:", ""]
        lines += markdown_table(["check", "found", "expected"],
                                [[c["name"], c["found"], c["expected"]] for c in failed])
    if stage["goals"]:
        lines += markdown_table(["goal", "found", "aimed at", "met"],
                                [[g["name"], g["found"], g["goal"], "yes" if g["met"] else "**no**"]
                                 for g in stage["goals"]])
    for table in stage["tables"]:
        lines += [f"### {table['title']}", ""] + markdown_table(table["columns"], table["rows"])
    lines += [f"- {note}" for note in stage["notes"]] + ([""] if stage["notes"] else [])
    return lines


def write_markdown(directory):
    """DIR/acceptance.md over all stages that have left their JSON there."""
    stages = [json.loads((directory / f"{name}.json").read_text())
              for name in ORDER if (directory / f"{name}.json").exists()]
    lines = ["# Acceptance", "", "Written by scripts/gpu-acceptance from the JSON files beside it.", ""]
    lines += markdown_table(["stage", "status", "checks", "goals", "time", "device", "started"],
                            [summary_row(stage) for stage in stages])
    missing = [name for name in ORDER if name not in {stage["stage"] for stage in stages}]
    if missing:
        lines += ["Not run: " + ", ".join(missing) + ".", ""]
    for stage in stages:
        lines += stage_lines(stage)
    (directory / "acceptance.md").write_text("\n".join(lines).rstrip() + "\n")


def summary(directory):
    """The first table of the page, for people at a terminal."""
    return "\n".join(line for line in (directory / "acceptance.md").read_text().split("\n## ")[0].splitlines()
                     if line.startswith("|"))


def pack(directory, file):
    """All results in one file, without the weights of the trainings."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    left_out = (".safetensors", file.name, partial.name)
    with tarfile.open(partial, "w:gz") as archive:
        archive.add(directory, arcname=directory.name,
                    filter=lambda entry: None if entry.name.endswith(left_out) else entry)
    partial.replace(file)
