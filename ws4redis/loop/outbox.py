"""The bounded way out of a websocket whose socket would block."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Outbox:
    """Bytes that wait until the socket takes them.

    Args:
        limit: Bytes that may wait behind the first ones: a single message may be of any size.
    """

    __slots__ = ("_bound", "_chunks", "_limit", "_size", "when_empty")

    def __init__(self, limit: int) -> None:
        self._chunks: deque[bytes] = deque()
        self._limit = limit
        self._bound = limit
        self._size = 0
        self.when_empty: list[Callable[[], object]] = []
        """To be called when nothing waits any more."""

    def __len__(self) -> int:
        return self._size

    def append(self, data: bytes) -> bool:
        """Add bytes; return whether they are within the limit."""
        if not self._size:
            self._bound = self._limit + len(data)
        self._chunks.append(data)
        self._size += len(data)
        return self._size <= self._bound

    def head(self) -> bytes:
        """Return all bytes that wait, as one piece for one ``send()``."""
        if len(self._chunks) > 1:
            joined = b"".join(self._chunks)
            self._chunks.clear()
            self._chunks.append(joined)
        return self._chunks[0] if self._chunks else b""

    def consume(self, count: int) -> None:
        """Drop the first bytes of ``head()``, which the socket has taken."""
        rest = self.head()[count:]
        self._chunks.clear()
        self._size = len(rest)
        if rest:
            self._chunks.append(rest)
