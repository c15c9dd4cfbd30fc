"""Ends all websockets of a process, over some time, so that not all clients come back at once.

The new process has to shake hands with every one of them, and so has each other process that they
may reach instead.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

import gevent

from ws4redis.loop.connection import Connection
from ws4redis.loop.registry import Registry

STEP = 0.05
"""Seconds between two groups of websockets that are closed together."""
RATE = 1000
"""Websockets closed in a second, or more if the time is short: a small site need not wait."""
SPREAD = 0.8
"""Part of the time in which to say goodbye; the rest is left for the clients' answers."""


def drain(
    registry: Registry, code: int, limit: float, tasks: Collection[object] = frozenset()
) -> None:
    """Close all websockets and wait until they are gone; drop those that don't answer.

    Args:
        registry: The websockets; some may still be added meanwhile.
        code: The close code.
        limit: Seconds that this may take.
        tasks: What has to end, too.
    """
    with gevent.Timeout(limit, False):
        for group in groups(list(registry), limit * SPREAD):
            for connection in group:
                connection.close(code)
            gevent.sleep(STEP)
        while len(registry) or tasks:
            for connection in registry:
                connection.close(code)
            gevent.sleep(STEP)
    for connection in registry:
        connection.abort()


def groups(connections: Sequence[Connection], seconds: float) -> Iterator[Sequence[Connection]]:
    """Cut websockets into groups; one each ``STEP``, they take no longer than ``seconds``."""
    steps = max(1, int(seconds / STEP))
    size = max(math.ceil(len(connections) / steps), round(RATE * STEP))
    for start in range(0, len(connections), size):
        yield connections[start : start + size]
