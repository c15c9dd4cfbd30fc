"""Guards the log against clients: how many lines they cause, how long, and in which characters.

A client can cause the same line as often as it likes. Of each kind of line, told by its logger and
its text without the values, only so many pass in a second; one more then says how many did not.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)

LIMIT = 20
"""Lines of one kind in a second, until a site says otherwise."""
WINDOW = 1.0
"""Seconds over which lines are counted."""
SHOWN = 200
"""Characters of one value of a client that are written."""


@dataclass(slots=True)
class _Kind:
    """The lines of one kind since the first one of this second."""

    since: float
    passed: int = 0
    left_out: int = 0


class Flood(logging.Filter):
    """Lets some lines of each kind pass in a second, and counts the rest.

    Args:
        limit: Lines of one kind in a second; None for any number.
        clock: Returns seconds that only grow.
    """

    def __init__(self, limit: int | None, clock: Callable[[], float]) -> None:
        super().__init__()
        self.limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, int, str], _Kind] = {}

    def guard(self, guarded: logging.Logger) -> logging.Logger:
        """Return a logger whose lines are counted from now on, and its tracebacks escaped."""
        guarded.addFilter(self)
        guarded.addFilter(_escape_traceback)
        return guarded

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written."""
        self.tell()
        with self._lock:
            name = (record.name, record.levelno, str(record.msg))
            kind = self._kinds.setdefault(name, _Kind(self._clock()))
            if self.limit is None or kind.passed < self.limit:
                kind.passed += 1
                return True
            kind.left_out += 1
            return False

    def tell(self) -> None:
        """Say what was left out in each second that is over; to be called often."""
        for (name, level, text), left_out in self._finished():
            logger.log(level, "%s: %d more lines were left out: %s", name, left_out, text)

    def _finished(self) -> list[tuple[tuple[str, int, str], int]]:
        """Forget the kinds whose second is over; return those of which lines were left out."""
        if not self._kinds:
            return []
        with self._lock:
            now = self._clock()
            over = [name for name, kind in self._kinds.items() if now - kind.since >= WINDOW]
            counts = [(name, self._kinds.pop(name).left_out) for name in over]
        return [(name, left_out) for name, left_out in counts if left_out]


def _escape_traceback(record: logging.LogRecord) -> bool:
    """Indent a traceback: an exception may have a client's text, with lines that look like ours.

    Every formatter takes the text that is there already.
    """
    if record.exc_info:
        lines = logging.Formatter().formatException(record.exc_info).split("\n")
        record.exc_text = "\n".join(f"    {_printable(line)}" for line in lines)
    return True


def _printable(line: str) -> str:
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)


clients = Flood(LIMIT, time.monotonic)
"""Guards all lines of this process that a client can cause."""


def escaped(text: str, limit: int = SHOWN) -> str:
    """Return a client's text in printable ASCII, and not too long, without quotes around it."""
    return ascii(text[:limit])[1:-1]


def to_quote(text: str) -> str:
    """Return a client's text so that it can't end the quotes between which it is to stand."""
    return escaped(text).replace("\\'", "'").replace("'", "\\x27")
