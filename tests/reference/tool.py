"""The tool as scripts of this folder call it."""

import importlib.util
import json
import pathlib
import shutil
import subprocess
import tempfile


class Tool:
    """Runs fmnist, and keeps its files in a folder that goes at the end of a `with`."""

    def __init__(self, program):
        self.program = program

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="fmnist-reference-"))
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    def run(self, *arguments):
        """What the tool prints; ends the script where it fails."""
        command = [self.program, *map(str, arguments)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise SystemExit(f"exit {done.returncode}: {' '.join(command)}")
        return done.stdout

    def train(self, name, *arguments):
        """Trains for an epoch on few images, in fp32; returns the run's folder."""
        run = self.folder / name
        self.run("train", *arguments, "--epochs", 1, "--precision", "fp32", "--out", run)
        return run

    def evaluate(self, what, data):
        """`fmnist eval` on the test images: an object."""
        return json.loads(self.run(
            "eval", what, "--split", "test", "--data", data, "--format", "json"))

    def export(self, what, form):
        """Exports a run; returns the folder of the files."""
        folder = self.folder / f"export-{form}"
        self.run("export", what, "--format", form, "--out", folder)
        return folder

    def whole_data(self, tiny):
        """The folder of the data that the tool finds, or else of data/tiny."""
        data = json.loads(self.run("info", "--format", "json"))["data"]
        return data["directory"] if data["found"] else tiny


def import_module(path):
    """A Python file as a module."""
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
