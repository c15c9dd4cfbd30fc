"""Lets the hub do all that waits, and look for input, before a long work goes on."""

from __future__ import annotations

import gevent

INSTANT = 1e-6
"""Seconds. With 0, gevent would come back before it has looked for input: it runs many callbacks
in a row, and who sleeps for 0 seconds is the next of them. Eighteen thousand sockets that were
written in slices then kept everybody else waiting for all of them (scenario ``fairness``)."""


def give_way() -> None:
    """Go on after one turn of the hub."""
    gevent.sleep(INSTANT)
