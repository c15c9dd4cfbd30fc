"""Writes what a run of the benchmark has found as tables: tables.py RESULT.json DIRECTORY."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Row = Sequence[str]
FIGURES = {
    "fanout": {
        "cpu_us": ("processor time of a delivery, µs", 1.0),
        "p50_us": ("half of the deliveries within, ms", 1e-3),
        "p99_us": ("99 % within, ms", 1e-3),
        "rate": ("messages a second", 1.0),
    },
    "memory": {
        "memory_kib": ("KiB of an idle websocket", 1.0),
        "more_links": ("connections to Redis for 990 more", 1.0),
    },
    "connects": {
        "cpu_us": ("processor time of a handshake, µs", 1.0),
        "wall_us": ("wall time, µs", 1.0),
        "django_cpu_us": ("Django's session and user alone, µs", 1.0),
        "storm_s": ("all at once, s", 1.0),
    },
    "views": {
        "cpu_us": ("processor time of a round trip, µs", 1.0),
        "busy_cpu_us": ("five times as many, µs", 1.0),
        "memory_kib": ("KiB of a websocket", 1.0),
        "more_kib": ("KiB over one on a facility", 1.0),
    },
}
"""The tables of contenders: figures, what these are called, and what they are multiplied by."""


def main() -> None:
    """Write all tables whose scenario was measured."""
    result, directory = Path(sys.argv[1]), Path(sys.argv[2])
    scenarios: dict[str, Any] = json.loads(result.read_text())["scenarios"]
    for name, text in tables(scenarios).items():
        (directory / f"{name}.md").write_text(text)


def tables(scenarios: dict[str, Any]) -> dict[str, str]:
    """Return the text of each table by the name of its file."""
    written = {"bars": _markdown([_HEADING, *_bars(scenarios)])}
    for name in FIGURES:
        if name in scenarios:
            written[name] = _markdown(list(_contenders(name, scenarios[name]["medians"])))
    return written


_HEADING = ("scenario", "what", "ours", "beside", "ratio", "in the rounds", "bar", "reached")


def _bars(scenarios: dict[str, Any]) -> Iterator[Row]:
    for name, scenario in scenarios.items():
        for bar in scenario["bars"]:
            yield (
                f"`{name}`",
                bar["what"],
                f"`{bar['ours']}`",
                f"`{bar['reference']}`" if bar["reference"] else "",
                f"{bar['ratio']:.3g}",
                f"{bar['lowest']:.3g} – {bar['highest']:.3g}",
                bar["limit"].replace("<=", "≤"),
                "yes" if bar["holds"] else "**no**",
            )


def _contenders(name: str, medians: dict[str, dict[str, float]]) -> Iterator[Row]:
    figures = FIGURES[name]
    yield ("", *(title for title, _ in figures.values()))
    for contender, own in medians.items():
        cells = [
            f"{own[figure] * factor:.4g}" if figure in own else ""
            for figure, (_, factor) in figures.items()
        ]
        yield (f"`{contender}`", *cells)


def _markdown(rows: Sequence[Row]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


if __name__ == "__main__":
    main()
