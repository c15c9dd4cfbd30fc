"""The guard: holds ratios against those that are committed, and allows for chance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Scenarios = dict[str, Any]
Entry = dict[str, Any]
KEYS = {"scenario", "what", "ours", "reference", "usual", "worst"}


def read(path: Path) -> list[Entry]:
    """Return the committed ratios.

    Each names a ratio of a scenario, what it was (``usual``), and above what something is wrong
    (``worst``): too far for a machine that is only busy.

    Raises:
        OSError: The file can't be read.
        ValueError: It holds nothing of the kind.
    """
    entries = json.loads(path.read_text())
    if not entries or not isinstance(entries, list) or any(KEYS - set(one) for one in entries):
        raise ValueError(f"{path} must be a list of objects with {', '.join(sorted(KEYS))}.")
    return list(entries)


def compare(entries: Sequence[Entry], scenarios: Scenarios) -> tuple[str, bool]:
    """Return what became of the committed ratios, and whether all of them are good enough."""
    judged = [(entry, _ratio(entry, scenarios)) for entry in entries]
    lines = [_line(entry, ratio) for entry, ratio in judged]
    return "\n".join(lines), all(_is_good(entry, ratio) for entry, ratio in judged)


def _ratio(entry: Entry, scenarios: Scenarios) -> float | None:
    """Return the ratio that an entry names; None if it was not measured."""
    wanted = (entry["what"], entry["ours"], entry["reference"])
    for bar in scenarios.get(entry["scenario"], {"bars": []})["bars"]:
        if (bar["what"], bar["ours"], bar["reference"]) == wanted:
            return float(bar["ratio"])
    return None


def _is_good(entry: Entry, ratio: float | None) -> bool:
    return ratio is not None and ratio <= entry["worst"]


def _line(entry: Entry, ratio: float | None) -> str:
    verdict = "good" if _is_good(entry, ratio) else "TOO BAD"
    now = "not measured" if ratio is None else f"{ratio:.3g}"
    return (
        f"{verdict}: {entry['what']}, {entry['ours']} by {entry['reference']}: "
        f"{now} (usually {entry['usual']:.3g}, at worst {entry['worst']:.3g})"
    )
