"""Keeps one fault that lasts from filling the log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

KINDS_LIMIT = 100
"""Kinds that are remembered; one more, and all are forgotten."""


class Notices:
    """Lets each kind of notice through once in an interval, and counts those held back.

    Args:
        interval: Seconds.
        clock: Tells the time, in seconds.
    """

    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        self._due: dict[str, float] = {}
        self._held: Counter[str] = Counter()

    def held(self, kind: str) -> int | None:
        """Return how many were held back before this one; None if this one is to be, too."""
        now = self._clock()
        if now < self._due.get(kind, now):
            self._held[kind] += 1
            return None
        if len(self._due) >= KINDS_LIMIT:
            self._due.clear()
            self._held.clear()
        self._due[kind] = now + self._interval
        return self._held.pop(kind, 0)
