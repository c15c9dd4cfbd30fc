"""What waits in all outboxes of a process together, and whom to give up when it is too much."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ws4redis.loop.connection import Connection


class Backlog:
    """Bytes that wait for slow clients.

    Args:
        limit: Bytes that may wait in all.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sizes: Counter[Connection] = Counter()
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def update(self, connection: Connection, size: int) -> None:
        """Note how many bytes wait for a connection; 0 for none any more."""
        self._total += size - self._sizes[connection]
        self._sizes[connection] = size
        if not size:
            del self._sizes[connection]

    def slowest(self) -> Connection | None:
        """Return the connection for which most waits, if it is too much in all."""
        if self._total <= self._limit:
            return None
        return max(self._sizes, key=self._sizes.__getitem__)
