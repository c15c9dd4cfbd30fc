"""Turns the figures of all rounds into medians, ratios to the floor, and a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from measurement import Figures

FLOOR = "floor"
COMPARED = ("cpu_us", "p50_us", "p99_us", "burst_s")
HEADINGS = ("server", "CPU us", "ratio", "p50 ms", "p99 ms", "burst s", "KiB", "Redis links")

Round = dict[str, Figures]
"""The figures of each server in one round, by the server's label."""


def medians(rounds: Sequence[Round]) -> Round:
    """Return the median of each figure over all rounds."""
    return {
        label: {
            name: statistics.median(figures[label][name] for figures in rounds)
            for name in rounds[0][label]
        }
        for label in rounds[0]
    }


def ratios(rounds: Sequence[Round]) -> list[Round]:
    """Return each round anew, with ratios to the floor in that very round."""
    return [
        {
            label: {name: own[name] / figures[FLOOR][name] for name in COMPARED}
            for label, own in figures.items()
        }
        for figures in rounds
    ]


def growing_links(rounds: Sequence[Round]) -> list[str]:
    """Name the servers that hold more connections to Redis for more websockets.

    Without any websocket there may be none, as some servers start the loop with the first one.
    """
    return [
        label
        for label in rounds[0]
        if any(len(set(_links(figures[label])[1:])) > 1 for figures in rounds)
    ]


def table(rounds: Sequence[Round]) -> str:
    """Return one line for each server, with the ratios to the floor beside the medians."""
    rows = [HEADINGS, *_rows(rounds)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def _rows(rounds: Sequence[Round]) -> Iterator[tuple[str, ...]]:
    relative = ratios(rounds)
    middle = medians(relative)
    for label, figures in medians(rounds).items():
        ratio = middle[label]
        spread = [one[label]["cpu_us"] for one in relative]
        yield (
            label,
            f"{figures['cpu_us']:.2f}",
            f"{ratio['cpu_us']:.2f} ({min(spread):.2f}-{max(spread):.2f})",
            f"{figures['p50_us'] / 1000:.2f} ({ratio['p50_us']:.2f}x)",
            f"{figures['p99_us'] / 1000:.2f} ({ratio['p99_us']:.2f}x)",
            f"{figures['burst_s']:.3f} ({ratio['burst_s']:.3f}x)",
            f"{figures['memory_kib']:.2f}",
            " -> ".join(f"{count:.0f}" for count in _links(figures)),
        )


def _links(figures: Figures) -> list[float]:
    return [value for name, value in figures.items() if name.startswith("links_")]
