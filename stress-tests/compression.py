"""Measures what compression costs the server and saves on the wire, beside the same without it.

make compression, or: python compression.py [--rounds N]

The messages are JSON as sites send it: a list of chat lines whose words are drawn at random.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence

from chatter import OFFER, publish_chat
from interrupts import unwind_at_signals
from measurement import arena
from scenario import Figures

SIZES = (1024, 4096, 16384)
"""Bytes of a message."""
LOADS = ((1, 300.0, 10.0), (100, 20.0, 10.0))
"""Websockets, messages in a second, and seconds."""


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    unwind_at_signals()
    print("| bytes | receivers | processor time, compressed / plain | bytes, compressed / plain |")
    print("|---|---|---|---|")
    for load in LOADS:
        for size in SIZES:
            ratios = [_compare(size, *load) for _ in range(rounds)]
            print(_row(size, load[0], ratios), flush=True)


def _compare(size: int, clients: int, rate: float, seconds: float) -> tuple[float, float]:
    """Return the ratios of processor time and of bytes, compressed to plain."""

    def measure(headers: Sequence[str]) -> Figures:
        with arena("serve", headers=headers) as field:
            return publish_chat(field, clients, size, rate, seconds)

    plain, packed = measure([]), measure([OFFER])
    return packed["cpu_us"] / plain["cpu_us"], packed["bytes"] / plain["bytes"]


def _row(size: int, clients: int, ratios: Sequence[tuple[float, float]]) -> str:
    cpu, sent = (statistics.median(column) for column in zip(*ratios, strict=True))
    spread = f"{min(one[0] for one in ratios):.2f}-{max(one[0] for one in ratios):.2f}"
    return f"| {size} | {clients} | {cpu:.2f} ({spread}) | {sent:.2f} |"


if __name__ == "__main__":
    main()
