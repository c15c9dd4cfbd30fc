"""Writes what is due to many sockets in slices, so that no other work of the hub waits for all.

A batch for few sockets overtakes a large one that is still being written. Whoever has yet to get
its part of that one gets the later bytes behind it, so each connection keeps its order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from ws4redis.loop.connection import Connection

logger = logging.getLogger(__name__)

SLICE = 0.003
"""Seconds of writing after which the hub may do something else."""
STEP = 32
"""Sockets written between two looks at the clock."""
FEW = 256
"""Sockets that are written without a pause, about a millisecond."""

FAILED = "A websocket could not be written"

Batch = dict[Connection, Sequence[bytes]]
"""The frames that each connection has to get. They are joined only when they are written: until
then all connections share them."""


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
        self._next: Batch = {}
        """A large batch that waits for the one that is due."""
        self._overtaking = 0
        """Sockets of small batches since the hub could do something else."""
        self._pause = pause
        self._spawn = spawn
        self._clock = clock

    def write(self, batch: Batch) -> None:
        """Write a batch; a large one may go on after the return.

        A second large one waits here for the first, and with it whoever calls.
        """
        if len(batch) <= FEW:
            self._overtake(batch)
            return
        self._next = batch
        while self._due:
            self._pause()
        self._due, self._next = batch, {}
        self._write_slice()
        if self._due:
            self._spawn(self._write_rest)

    def flush(self, connection: Connection) -> None:
        """Write what is still due to a connection that is about to be closed."""
        if frames := [*self._due.pop(connection, ()), *self._next.pop(connection, ())]:
            _send(connection, frames)

    def _overtake(self, batch: Batch) -> None:
        due = self._due
        for connection, frames in batch.items():
            if connection in due:
                due[connection] = [*due[connection], *frames]
            else:
                _send(connection, frames)
        # Many small batches in a row are as long as a large one.
        self._overtaking += len(batch)
        if self._overtaking > FEW:
            self._overtaking = 0
            self._pause()

    def _write_rest(self) -> None:
        while self._due:
            self._pause()
            self._write_slice()

    def _write_slice(self) -> None:
        due, end, is_over = self._due, self._clock() + SLICE, False
        while due and not is_over:
            try:
                # Not by _send(): a call more would be a fortieth of a delivery.
                for _ in range(min(STEP, len(due))):
                    connection, frames = due.popitem()
                    connection.send(b"".join(frames))
            except Exception:
                logger.exception(FAILED)
            is_over = self._clock() >= end


def _send(connection: Connection, frames: Sequence[bytes]) -> None:
    try:
        connection.send(b"".join(frames))
    except Exception:
        # All others still get theirs.
        logger.exception(FAILED)
