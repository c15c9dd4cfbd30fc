"""Keeps Ctrl-C and SIGTERM from leaving a program behind that nobody would end."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def unwind_at_sigterm() -> None:
    """Let SIGTERM leave all ``with`` statements, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("The benchmark was ended."))


@contextmanager
def postponed() -> Iterator[None]:
    """Let both signals wait until the ``with`` statement is left.

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
