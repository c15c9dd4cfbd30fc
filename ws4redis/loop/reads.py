"""Lets only so many reads of histories run at once: their answers share the link with messages.

Redis cuts a subscribed link on which more than 8 megabytes wait for a minute, or 32 at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from ws4redis.exceptions import BusError
from ws4redis.history import Call

LIMIT = 16
"""Reads at once, of at most 256 KiB each, or one message."""

Reply = Callable[[Any], None]


class Way(Protocol):
    """The part of the bus that is needed here."""

    def run(self, call: Call, reply: Reply) -> None: ...


class Reads:
    """The reads of one process.

    Args:
        way: Runs them.
    """

    def __init__(self, way: Way) -> None:
        self._way = way
        self._running = 0
        self._waiting: deque[tuple[Call, Reply]] = deque()

    def run(self, call: Call, reply: Reply) -> None:
        """Run a read, after those that were asked for before.

        Args:
            call: The read.
            reply: Gets the answer, or an exception.
        """
        self._waiting.append((call, reply))
        self._go_on()

    def give_up(self) -> None:
        """Run none of those that wait, as the link is lost."""
        waiting, self._waiting = self._waiting, deque()
        for _, reply in waiting:
            reply(BusError("The link to Redis broke."))

    def _go_on(self) -> None:
        while self._waiting and self._running < LIMIT:
            call, reply = self._waiting.popleft()
            self._running += 1
            self._way.run(call, partial(self._answered, reply))

    def _answered(self, reply: Reply, answer: Any) -> None:
        self._running -= 1
        try:
            reply(answer)
        finally:
            self._go_on()
