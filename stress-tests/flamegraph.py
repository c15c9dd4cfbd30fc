"""Draws where the time of a server goes while it delivers: flamegraph.py [FILE.svg]."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from interrupts import unwind_at_signals
from measurement import arena
from programs import installed

CLIENTS, RATE, SECONDS = 1000, 50.0, 10.0
SAMPLES = 100
"""Looks at the stack in a second."""
WAITING = "_WorkerGreenlet.run"
"""The threads of the hook pool wait all the time, which py-spy takes for work."""
NARROW = 0.03
"""Share of all time below which a frame gets no name."""

Stacks = dict[tuple[str, ...], int]


def main() -> None:
    """Deliver at the rate of the benchmark, let py-spy watch, and draw what it saw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", default="flamegraph.svg", help="flamegraph.svg")
    parser.add_argument("--server", default="serve", help="serve by default, or uwsgi")
    options = parser.parse_args()
    unwind_at_signals()
    with tempfile.TemporaryDirectory() as directory:
        raw = Path(directory) / "stacks"
        _watch(options.server, raw)
        draw(parsed(raw.read_text()), options.file)


def _watch(server: str, raw: Path) -> None:
    with arena(server) as field:
        field.load.connect(CLIENTS)
        command = [installed("py-spy"), "record", "--function", "--format", "raw"]
        command += ["--rate", str(SAMPLES), "--duration", str(round(SECONDS))]
        command += ["--output", str(raw), "--pid", str(field.server.pid)]
        with subprocess.Popen(command) as watcher:
            field.publish_at_rate(CLIENTS, RATE, SECONDS + 2, 100)
    if watcher.returncode:
        sys.exit(watcher.returncode)


def parsed(text: str) -> Stacks:
    """Return how often each stack was seen, outermost frame first."""
    stacks: Stacks = {}
    for line in text.splitlines():
        frames, _, count = line.rpartition(" ")
        if WAITING not in frames:
            stacks[tuple(frame.partition(" (")[0] for frame in frames.split(";"))] = int(count)
    return stacks


def boxes(stacks: Stacks, depth: int = 0, left: int = 0) -> Iterator[tuple[int, int, int, str]]:
    """Yield the depth, left edge, width and name of each frame."""
    names = dict.fromkeys(stack[depth] for stack in stacks if len(stack) > depth)
    for name in names:
        inner = {
            stack: count
            for stack, count in stacks.items()
            if len(stack) > depth and stack[depth] == name
        }
        width = sum(inner.values())
        yield depth, left, width, name
        yield from boxes(inner, depth + 1, left)
        left += width


def draw(stacks: Stacks, file: str) -> None:
    """Draw the frames from top to bottom, as wide as they were often seen."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "ws4redis", "svg.fonttype": "none"}
    from matplotlib import pyplot

    total, frames = sum(stacks.values()), list(boxes(stacks))
    figure, axes = pyplot.subplots(figsize=(9, 4.6), layout="constrained")
    for depth, left, width, name in frames:
        axes.barh(depth, width / total, 0.92, left / total, color="#f2a65a", edgecolor="white")
        if width > NARROW * total:
            label = f"{name}  {100 * width / total:.0f} %"
            axes.text(left / total + 0.003, depth, label, va="center", fontsize=7, clip_on=True)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), yticks=[], xticks=[])
    axes.spines[:].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    main()
