"""Keeps Ctrl-C, SIGTERM and a closed terminal from leaving a program behind."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def unwind_at_signals() -> None:
    """Let each of the signals leave all ``with`` statements, without a traceback."""
    for number in SIGNALS:
        signal.signal(number, lambda *_: sys.exit("The benchmark was ended."))


@contextmanager
def postponed() -> Iterator[None]:
    """Let the signals wait until the ``with`` statement is left.

    A blocking mask would be inherited by a program started meanwhile; a handler is not.
    """
    arrived: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _: arrived.append(number))
        for number in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in arrived:
            signal.raise_signal(late)
