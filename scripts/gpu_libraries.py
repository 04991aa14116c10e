#!/usr/bin/env python3
"""Where NVIDIA's libraries lie on this machine: those that a bundle does not carry.

    scripts/gpu_libraries.py           prints their folders, with colons: a LD_LIBRARY_PATH

Looks in LD_LIBRARY_PATH, the linker's cache, CUDA_HOME, /usr/local/cuda*, and in the packages
nvidia-* of Python (which PyTorch brings along). One line says what is missing or of another major
version.
"""

import glob
import os
import pathlib
import re
import shutil
import subprocess
import sys

NEEDED = {"libcudart": 13, "libcublasLt": 13, "libcudnn": 9}
WISHED = {"libnvrtc": 13}  # for cuDNN's engines that are compiled when they are first used
DRIVER = "libcuda.so.1"
HINTS = {
    "libcudart": "install the CUDA 13 runtime",
    "libcublasLt": "install cuBLAS of CUDA 13",
    "libcudnn": "install cuDNN 9 for CUDA 13, or name its folder in LD_LIBRARY_PATH",
}


class Missing(Exception):
    pass


def linker_cache():
    """Folders that the linker knows, in its order."""
    tool = shutil.which("ldconfig") or "/sbin/ldconfig"
    try:
        output = subprocess.run([tool, "-p"], check=True, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [os.path.dirname(path) for path in re.findall(r"=> (/\S+)", output)]


def python_packages():
    """The folders lib/ of the packages nvidia-*, of this Python and of the one on the PATH."""
    places = list(sys.path)
    python = shutil.which("python3")
    if python and os.path.realpath(python) != os.path.realpath(sys.executable):
        output = subprocess.run([python, "-c", "import sys; print('\\n'.join(sys.path))"],
                                stdout=subprocess.PIPE, text=True).stdout
        places += output.splitlines()
    return [lib for place in places if place
            for lib in sorted(glob.glob(os.path.join(place, "nvidia", "*", "lib")))]


def search_places():
    places = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    places += linker_cache()
    homes = [os.environ.get("CUDA_HOME", ""), "/usr/local/cuda", *sorted(glob.glob("/usr/local/cuda-*"))]
    places += [os.path.join(home, lib) for home in homes if home for lib in ("lib64", "lib")]
    places += python_packages()
    places += ["/usr/local/nvidia/lib64", "/usr/local/nvidia/lib"]  # the driver, in containers
    return list(dict.fromkeys(place for place in places if place and os.path.isdir(place)))


def other_versions(name, places):
    """'libcudnn.so.8 in DIR' for files of another major version."""
    for place in places:
        for path in sorted(glob.glob(os.path.join(place, name + ".so.*"))):
            if re.fullmatch(re.escape(name) + r"\.so\.\d+", os.path.basename(path)):
                return f"{os.path.basename(path)} in {place}"
    return None


def find(places=None, driver=True):
    """{file name: folder} of all that is needed; Missing with one line."""
    places = search_places() if places is None else places
    found = {}
    for name, major in {**NEEDED, **WISHED}.items():
        file = f"{name}.so.{major}"
        holder = next((p for p in places if os.path.exists(os.path.join(p, file))), None)
        if holder:
            found[file] = holder
        elif name in NEEDED:
            other = other_versions(name, places)
            raise Missing(f"{file} was not found" + (f", only {other}" if other else "")
                          + f": {HINTS[name]}")
    if driver:
        holder = next((p for p in places if os.path.exists(os.path.join(p, DRIVER))), None)
        if not holder:
            raise Missing(f"{DRIVER} was not found: there is no NVIDIA driver here")
        found[DRIVER] = holder
    return found


def library_path(found):
    return ":".join(dict.fromkeys(found.values()))


def main():
    try:
        print(library_path(find()))
    except Missing as error:
        sys.exit(f"gpu_libraries: error: {error}")


if __name__ == "__main__":
    main()
