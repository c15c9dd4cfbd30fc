"""The guard: compares ratios with those that are committed, and allows for chance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MARGIN = 1.5
"""How much worse than the committed ratio one may be. Busy machines were seen to move the median of
three rounds by a quarter."""


def worse(path: Path, known: dict[str, Any]) -> list[str]:
    """Say which bars are far worse than in a committed result, or are not there any more.

    Args:
        path: A file that ``bench.py --json`` has written.
        known: The scenarios that were measured now.
    """
    committed = json.loads(path.read_text())["scenarios"]
    return [
        complaint
        for name, scenario in committed.items()
        for bar in scenario["bars"]
        if (complaint := _complaint(bar, known.get(name, {"bars": []})["bars"]))
    ]


def _complaint(old: dict[str, Any], bars: list[dict[str, Any]]) -> str:
    title = f"{old['what']}, {old['ours']} / {old['reference']}"
    new = [bar for bar in bars if (bar["what"], bar["ours"]) == (old["what"], old["ours"])]
    if not new:
        return f"{title}: not measured"
    if new[0]["ratio"] <= MARGIN * old["ratio"]:
        return ""
    return f"{title}: {new[0]['ratio']:.3g} instead of {old['ratio']:.3g}, more than {MARGIN} times"
