"""Makes all measurements smaller at once, to see whether they work at all."""

from __future__ import annotations

import os

VARIABLE = "BENCH_SCALE"
FEWEST = 10


def scaled(number: int) -> int:
    """Return how many are to be had where the full measurement has so many."""
    scale = float(os.environ.get(VARIABLE, "1"))
    return number if scale == 1 else max(FEWEST, round(number * scale))
