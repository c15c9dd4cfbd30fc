"""Joins the persisted message of each channel with the live ones, without gap or duplicate.

A publisher persists a message before it publishes it, in one transaction, and one link to Redis is
totally ordered. So what arrives before the answer to ``GET`` is not newer than that answer, even
where it comes from an earlier subscription of the channel, and what arrives after it is newer.
"""

from __future__ import annotations

Delivery = tuple[bytes, bytes]
"""A channel and a payload."""


class Handover:
    """What one joining websocket will have to receive first.

    Args:
        limit: Bytes that may be held.
    """

    __slots__ = ("_held", "_last", "_limit", "_size")

    def __init__(self, limit: int) -> None:
        self._last: dict[bytes, bytes | None] = {}
        self._held: list[bytes] = []
        self._limit = limit
        self._size = 0

    @property
    def overflowed(self) -> bool:
        """Whether more was held than the limit allows; the rest is missing then."""
        return self._size > self._limit

    def hold(self, channel: bytes, payload: bytes) -> None:
        """Keep a live message that is newer than the persisted one of its channel."""
        if channel not in self._last:
            return
        self._size += len(payload)
        if not self.overflowed:
            self._held.append(payload)

    def found(self, channel: bytes, payload: bytes | None) -> None:
        """Note the persisted message of a channel; None if it has none."""
        self._last[channel] = payload

    def insert(self, payload: bytes) -> None:
        """Deliver a payload of the site's own before everything that was held."""
        self._last[b"%d" % len(self._last)] = payload

    def merged(self) -> list[bytes]:
        """Return the payloads to deliver, in order: persisted ones, then those held."""
        persisted = [payload for payload in self._last.values() if payload is not None]
        return persisted + self._held
