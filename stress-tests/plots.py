"""Draws what a run of the benchmark has found: python plots.py RESULT.json DIRECTORY."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
# The same figures make the same file.
matplotlib.rcParams |= {"svg.hashsalt": "ws4redis", "svg.fonttype": "none", "font.size": 9}

from matplotlib import pyplot  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

OURS, FLOOR, OTHERS = "#0b7a4b", "#888888", "#c2703d"
MARKERS = "osv^Dx"
MEDIAN_LINE = {"linestyle": "--"}

Medians = dict[str, dict[str, float]]


def main() -> None:
    """Draw all plots whose scenario was measured."""
    result, directory = Path(sys.argv[1]), Path(sys.argv[2])
    scenarios: dict[str, Any] = json.loads(result.read_text())["scenarios"]
    directory.mkdir(parents=True, exist_ok=True)
    for name, draw in PLOTS.items():
        if name in scenarios:
            figure, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
            draw(axes, scenarios[name]["medians"])
            figure.savefig(directory / f"{name}.svg", metadata={"Date": None})
            pyplot.close(figure)


def _fanout(axes: Axes, medians: Medians) -> None:
    _bars(axes, medians, "cpu_us", "µs of processor time for a delivery")


def _burst(axes: Axes, medians: Medians) -> None:
    _bars(axes, medians, "burst_s", "seconds for a million deliveries, published at once")


def _bars(axes: Axes, medians: Medians, figure: str, label: str) -> None:
    """Draw one bar for each contender, the longest ones at the bottom."""
    values = {name: own[figure] for name, own in medians.items() if not name.endswith(" again")}
    names = sorted(values, key=lambda name: -values[name])
    drawn = axes.barh(names, [values[name] for name in names], color=list(map(_color, names)))
    axes.bar_label(drawn, fmt=" %.3g")
    axes.set_xscale("log")
    axes.set_xlabel(f"{label} (logarithmic)")
    axes.spines[["top", "right"]].set_visible(False)


def _memory(axes: Axes, medians: Medians) -> None:
    _lines(axes, medians, r"mib_(\d+)", factor=1)
    axes.set(xlabel="idle websockets", ylabel="MiB of the server (PSS)", xscale="linear")


def _growth(axes: Axes, medians: Medians) -> None:
    _lines(axes, medians, r"cpu_us_(\d+)")
    axes.set(xlabel="websockets", ylabel="µs for a delivery")


def _sizes(axes: Axes, medians: Medians) -> None:
    _lines(axes, medians, r"cpu_us_(\d+)")
    axes.set(xlabel="bytes of a message", ylabel="µs for a delivery")


def _rates(axes: Axes, medians: Medians) -> None:
    _lines(axes, medians, r"p99_us_(\d+)", factor=1000)
    _lines(axes, medians, r"p50_us_(\d+)", factor=1000, **MEDIAN_LINE)
    axes.set(
        xlabel="messages a second to 500 websockets",
        ylabel="ms; solid p99, dashed p50",
        yscale="log",
    )


def _lines(axes: Axes, medians: Medians, pattern: str, factor: float = 1, **style: Any) -> None:
    """Draw one line for each contender, through all figures whose name fits the pattern."""
    for (name, own), marker in zip(medians.items(), MARKERS * 2, strict=False):
        points = [
            (int(found[1]), value / factor)
            for figure, value in own.items()
            if (found := re.fullmatch(pattern, figure))
        ]
        label = "" if style else name
        axes.plot(
            *zip(*points, strict=True), marker, label=label, color=_color(name), **_solid(style)
        )
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def _solid(style: dict[str, Any]) -> dict[str, Any]:
    return {"linestyle": "-", "markersize": 4} | style


def _color(name: str) -> str:
    if name in ("serve", "uwsgi"):
        return OURS
    return FLOOR if name == "floor" else OTHERS


PLOTS: dict[str, Callable[[Axes, Medians], None]] = {
    "fanout": _fanout,
    "burst": _burst,
    "memory": _memory,
    "growth": _growth,
    "sizes": _sizes,
    "rates": _rates,
}

if __name__ == "__main__":
    main()
