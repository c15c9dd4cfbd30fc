"""Fuzzes one target, guided by the code's coverage: ``python -m tests.fuzz.guided TARGET SECONDS``.

Needs atheris. libFuzzer never returns from its loop: hence a process of its own.
"""

from __future__ import annotations

import sys
import tempfile

import atheris

from tests.fuzz import load_targets
from tests.fuzz.corpus import CORPUS
from tests.fuzz.mutation import MAX_SIZE


def main(name: str, seconds: str) -> None:
    """Run until the time is over, or an input breaks a promise; that is stored in the corpus."""
    with atheris.instrument_imports(include=["ws4redis"]):
        target = load_targets()[name]
    with tempfile.TemporaryDirectory() as discovered:
        options = {
            "max_total_time": seconds,
            "max_len": MAX_SIZE,
            "timeout": 20,
            "artifact_prefix": f"{CORPUS / name}/",
            "print_final_stats": 1,
            "verbosity": 0,
        }
        flags = [f"-{option}={value}" for option, value in options.items()]
        atheris.Setup([sys.argv[0], *flags, discovered, str(CORPUS / name)], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
