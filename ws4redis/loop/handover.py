"""Joins the persisted message of each channel with the live ones, without gap or duplicate.

A publisher persists a message before it publishes it, in one transaction, and one link to Redis is
totally ordered. So what arrives before the answer to ``GET`` is not newer than that answer, even
where it comes from an earlier subscription of the channel, and what arrives after it is newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from ws4redis.wire.outgoing import Outgoing


class Handover:
    """What one joining websocket will have to receive first.

    Args:
        limit: Bytes that may be held.
    """

    __slots__ = ("_first", "_held", "_limit", "_size")

    def __init__(self, limit: int) -> None:
        self._first: dict[bytes, Sequence[Outgoing]] = {}
        self._held: list[Outgoing] = []
        self._limit = limit
        self._size = 0

    @property
    def overflowed(self) -> bool:
        """Whether more was held than the limit allows; the rest is missing then."""
        return self._size > self._limit

    def hold(self, channel: bytes, message: Outgoing) -> None:
        """Keep a live message that is newer than the first ones of its channel."""
        if channel not in self._first:
            return
        self._size += len(message.payload)
        if not self.overflowed:
            self._held.append(message)

    def found(self, channel: bytes, messages: Sequence[Outgoing]) -> None:
        """Note the first messages of a channel: the persisted one, or all that were missed."""
        self._first[channel] = messages

    def insert(self, message: Outgoing) -> None:
        """Deliver a message of the site's own before everything that was held."""
        self._first[b"%d" % len(self._first)] = (message,)

    def merged(self) -> list[Outgoing]:
        """Return the messages to deliver, in order: the first ones, then those held."""
        return [*chain.from_iterable(self._first.values()), *self._held]
