"""The file in which the figures of many runs are gathered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read(path: Path) -> dict[str, Any]:
    """Return the scenarios of a file; none if it isn't there yet.

    Raises:
        ValueError: It is no file of the benchmark.
    """
    if not path.exists():
        return {}
    try:
        scenarios = json.loads(path.read_text())["scenarios"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no results of the benchmark.") from error
    return dict(scenarios)


def keep(path: Path, name: str, known: dict[str, Any]) -> None:
    """Write a scenario to a file at once; the others in it stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scenarios = dict(sorted((read(path) | {name: known}).items()))
    path.write_text(json.dumps({"scenarios": scenarios}, indent=1) + "\n")
