"""Runs a command of Django anew in a process that gevent has monkey-patched before anything else.

This file is also the program that does so. It must not load anything that gevent patches, Django
least of all.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import gevent.monkey


def is_patched() -> bool:
    """Whether what may block in this process switches to another greenlet."""
    return bool(gevent.monkey.is_module_patched("socket"))


def command() -> list[str]:
    """Return the command that runs in a patched process what this process was started for.

    Raises:
        ValueError: It was started by neither a file nor a module.
    """
    # Python's own options, and then what it runs: a file, or -m and a module.
    count = len(sys.orig_argv) - len(sys.argv) + 1
    options, target, arguments = (
        sys.orig_argv[1 : count - 1],
        sys.orig_argv[count - 1],
        sys.argv[1:],
    )
    module: list[str] = []
    if sys.modules["__main__"].__spec__ is not None:
        if target.startswith("-"):
            # Such as -mdjango.
            flag, _, target = target.partition("m")
            options = [*options, f"{flag}m"]
        # Other letters may stand before it, as in -Im.
        options, letters, module = options[:-1], options[-1].removesuffix("m"), ["-m"]
        options += [letters] if letters != "-" else []
    elif not os.path.exists(target):
        raise ValueError("Start it by manage.py, django-admin or python -m django.")
    return [sys.executable, *options, __file__, *module, target, *arguments]


def _run(arguments: list[str]) -> None:
    """Run a file, or ``-m`` and a module, as Python itself would."""
    is_module = arguments[0] == "-m"
    sys.argv[:] = arguments[is_module:]
    if not sys.flags.safe_path:
        # It is the directory of this file.
        sys.path[0] = os.getcwd() if is_module else str(Path(sys.argv[0]).resolve().parent)
    if is_module:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    gevent.monkey.patch_all()
    _run(sys.argv[1:])
