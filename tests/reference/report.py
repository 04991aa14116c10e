#!/usr/bin/env python3
"""What the reference tests of the last ctest run measured, as Markdown: report.py BUILD OUT COMMAND

Tests print lines "result: what | with | difference | at most"; every one of them is a row. Nothing
is written where a test failed or was skipped.
"""

import datetime
import json
import pathlib
import platform
import re
import subprocess
import sys


def read_log(path):
    """(test, its output, how it ended) of every test."""
    blocks = re.split(r"^\d+/\d+ Testing: ", path.read_text(errors="replace"), flags=re.M)[1:]
    for block in blocks:
        name = block.split("\n", 1)[0].strip()
        output, _, end = block.partition("<end of output>")
        yield name, output, end


def rows_of(path):
    rows, tests = [], 0
    for name, output, end in sorted(read_log(path)):
        if "Test Passed" not in end:
            raise SystemExit(f"not written: test {name} was skipped or failed")
        tests += 1
        for line in output.splitlines():
            if line.startswith("result: "):
                rows.append([cell.strip() for cell in line[len("result: "):].split("|")])
    if not rows:
        raise SystemExit("not written: no test has printed a result")
    return rows, tests


def machine(build):
    info = subprocess.run([build / "fmnist", "info", "--format", "json"],
                          check=True, stdout=subprocess.PIPE, text=True).stdout
    info = json.loads(info)
    cpu = next(b for b in info["backends"] if b["name"] == "cpu")
    return info, info["machine"], cpu


def main():
    build, out, command = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    rows, tests = rows_of(build / "Testing" / "Temporary" / "LastTest.log")
    info, on, cpu = machine(build)
    lines = [
        "# Beside the programs that files are for",
        "",
        "What `fmnist` reads and writes, held against the real packages: the largest difference that was",
        "measured, and the largest that passes. Relative differences are L2 distances of a layer's output,",
        "the others are absolute.",
        "",
        "| what | with | difference | at most |",
        "|---|---|--:|--:|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"- Command: `{command}`; {tests} tests passed, none was skipped",
        f"- Processor: {on['processor']}, {on['cores']} cores usable, {on['system']}",
        f"- fmnist {info['version']}: cpu: {cpu['libraries']}",
        f"- Python {platform.python_version()}, packages of tests/reference/requirements.txt",
        f"- Date: {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}",
    ]
    out.write_text("\n".join(lines) + "\n")
    print(f"wrote {out}")


main()
