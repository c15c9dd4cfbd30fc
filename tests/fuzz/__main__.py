"""Fuzzes for a long time: ``python -m tests.fuzz [TARGET ...]``; see ``make fuzz``.

The seconds of ``FUZZ_TIME`` are shared by the targets. With atheris installed the code's coverage
guides the changes of inputs, else chance does. What breaks a promise is stored in the corpus, where
the tests find it again.
"""

from __future__ import annotations

import importlib.util
import os
import random
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable

from tests.fuzz import load_targets
from tests.fuzz.corpus import load, store_crash
from tests.fuzz.mutation import mutations

SECONDS = float(os.environ.get("FUZZ_TIME", "600"))
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")

Fuzz = Callable[[str, float], tuple[int, bool]]
"""Fuzzes a target for some seconds; returns the number of executions, and whether all went well."""


def main(names: list[str]) -> int:
    """Fuzz each target; return 1 if a promise broke."""
    names, fuzz = names or list(load_targets()), _chosen()
    results = [_report(name, SECONDS / len(names), fuzz) for name in names]
    return 0 if all(results) else 1


def _chosen() -> Fuzz:
    if importlib.util.find_spec("atheris"):
        return _fuzz_guided
    print("Without atheris (pip install atheris) chance alone guides the changes.")
    return _fuzz_by_chance


def _report(name: str, seconds: float, fuzz: Fuzz) -> bool:
    started = time.monotonic()
    executions, is_good = fuzz(name, seconds)
    passed = time.monotonic() - started
    verdict = "no promise broken" if is_good else "BROKEN, see the new file in the corpus"
    print(f"{name}: {executions} executions in {passed:.0f} s, {verdict}", flush=True)
    return is_good


def _fuzz_guided(name: str, seconds: float) -> tuple[int, bool]:
    command = [sys.executable, "-m", "tests.fuzz.guided", name, f"{seconds:.0f}"]
    result = subprocess.run(command, capture_output=True, check=False)
    output = (result.stdout + result.stderr).decode(errors="replace")
    executed = _EXECUTED.search(output)
    is_good = result.returncode == 0 and executed is not None
    if not is_good:
        print(output)
    return int(executed[1]) if executed else 0, is_good


def _fuzz_by_chance(name: str, seconds: float) -> tuple[int, bool]:
    target, seed = load_targets()[name], random.getrandbits(32)
    deadline = time.monotonic() + seconds
    for executions, data in enumerate(mutations(list(load(name).values()), seed)):
        if time.monotonic() > deadline:
            return executions, True
        try:
            target(data)
        except Exception:
            traceback.print_exc()
            print(f"seed {seed}: {store_crash(name, data)}")
            break
    return executions, False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
