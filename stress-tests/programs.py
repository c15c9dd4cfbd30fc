"""Finds the programs that a measurement needs, or compiles them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SITE = HERE / "site"
"""The project that our servers run."""
BUILD = HERE / "build"
CFLAGS = ("-O2", "-Wall", "-Wextra")


def compiled(name: str) -> str:
    """Compile one of the C programs if it changed; return the path of its executable."""
    source, target = HERE / f"{name}.c", BUILD / name
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(exist_ok=True)
        compiler = os.environ.get("CC", "cc")
        subprocess.run([installed(compiler), *CFLAGS, "-o", str(target), str(source)], check=True)
    return str(target)


def installed(*names: str) -> str:
    """Return the path of the first program that is there, this environment's before others.

    Without any of them the benchmark ends, and says so.
    """
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for name in names:
        if found := shutil.which(name, path=places):
            return found
    sys.exit(f"The benchmark needs {' or '.join(names)} on the PATH.")
