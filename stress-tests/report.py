"""Turns the figures of all rounds into tables for people and JSON for programs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from scenario import Bar, Round, Scenario, medians

Row = Sequence[str]


def summary(scenario: Scenario, rounds: Sequence[Round]) -> dict[str, Any]:
    """Return everything that is known of a scenario, ready for JSON."""
    return {
        "title": scenario.title,
        "medians": medians(rounds),
        "bars": [judged for bar in scenario.bars if (judged := _judged(bar, rounds))],
        "rounds": rounds,
    }


def _judged(bar: Bar, rounds: Sequence[Round]) -> dict[str, Any]:
    """Return what became of a bar; nothing if one of the two did not take part."""
    ratios = bar.ratios(rounds)
    if not ratios:
        return {}
    ratio = statistics.median(ratios)
    return {
        "what": bar.what,
        "ours": bar.ours,
        "reference": bar.reference or "",
        "ratio": ratio,
        "lowest": min(ratios),
        "highest": max(ratios),
        "limit": f"<= {bar.limit:.3g}",
        "holds": bar.holds(ratio),
    }


def figures_table(known: dict[str, Any]) -> str:
    """Return the medians of a scenario, a line for each contender."""
    names = list(dict.fromkeys(name for own in known["medians"].values() for name in own))
    rows = [
        [contender, *(f"{own[name]:.4g}" if name in own else "" for name in names)]
        for contender, own in known["medians"].items()
    ]
    return table([["contender", *names], *rows])


def bars_table(bars: Iterable[dict[str, Any]]) -> str:
    """Return a line for each bar, with what was reached."""
    heading = ["what", "ours", "reference", "ratio", "range", "bar", "holds"]
    return table([heading, *(_bar_row(bar) for bar in bars)])


def _bar_row(bar: dict[str, Any]) -> Row:
    spread = f"{bar['lowest']:.3g}-{bar['highest']:.3g}"
    verdict = "yes" if bar["holds"] else "NO"
    named = [bar["what"], bar["ours"], bar["reference"]]
    return [*named, f"{bar['ratio']:.3g}", spread, bar["limit"], verdict]


def table(rows: Sequence[Row]) -> str:
    """Return rows in columns of equal width; the first column is aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )
