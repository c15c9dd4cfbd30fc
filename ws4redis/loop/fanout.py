"""Writes what is due to many sockets in slices, so that no other work of the hub waits for all.

A batch for few sockets overtakes one for many that is still being written. Whoever has yet to get
its part of that one gets the later bytes behind it, so each connection keeps its order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ws4redis.loop.connection import Connection

logger = logging.getLogger(__name__)

SLICE = 0.003
"""Seconds of writing after which the hub may do something else."""
STEP = 32
"""Sockets written between two looks at the clock."""
FEW = 256
"""Sockets that are written without a pause, about a millisecond."""

Batch = dict[Connection, bytes]
"""What each connection has to get."""


class Fanout:
    """The sockets that are written at present.

    Args:
        pause: Lets the hub do something else.
        spawn: Runs a function beside the caller, on the same hub.
        clock: Returns seconds that only grow.
    """

    def __init__(
        self,
        pause: Callable[[], object],
        spawn: Callable[[Callable[[], None]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._due: Batch = {}
        self._pause = pause
        self._spawn = spawn
        self._clock = clock

    def write(self, batch: Batch) -> None:
        """Write a batch; a large one may go on after the return.

        A second large one waits here for the first, so that no more than one is held in memory.
        """
        if len(batch) <= FEW:
            self._overtake(batch)
            return
        while self._due:
            self._pause()
        self._due = batch
        self._write_slice()
        if self._due:
            self._spawn(self._write_rest)

    def _overtake(self, batch: Batch) -> None:
        due = self._due
        for connection, data in batch.items():
            if connection in due:
                due[connection] += data
            else:
                connection.send(data)

    def _write_rest(self) -> None:
        while self._due:
            self._pause()
            self._write_slice()

    def _write_slice(self) -> None:
        try:
            self._write_until(self._clock() + SLICE)
        except Exception:
            # The others still get theirs; and without an end, the next batch would wait for ever.
            logger.exception("A websocket could not be written")

    def _write_until(self, end: float) -> None:
        due, is_over = self._due, False
        while due and not is_over:
            for _ in range(min(STEP, len(due))):
                connection, data = due.popitem()
                connection.send(data)
            is_over = self._clock() >= end
