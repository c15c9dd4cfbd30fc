"""Waits for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 60.0
INTERVAL = 0.02


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: It did not hold in time; says what was waited for.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"In {PATIENCE:.0f} s, {what} did not happen.")
        time.sleep(INTERVAL)


def settled(read: Callable[[], int], tolerance: int) -> int:
    """Read a value again and again until it hardly changes; return it.

    Raises:
        TimeoutError: It did not come to rest in time.
    """
    values = [read()]

    def rests() -> bool:
        time.sleep(10 * INTERVAL)
        values.append(read())
        return abs(values[-1] - values[-2]) <= tolerance

    wait_for(rests, "a value coming to rest")
    return values[-1]
