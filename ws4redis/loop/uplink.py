"""Takes what clients send to the bus; while Redis is away, clients wait and nothing is lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from ws4redis.loop.facility import Facility
from ws4redis.metrics import Metrics


class Way(Protocol):
    """The part of the bus that is needed here."""

    def publish(
        self,
        channels: tuple[bytes, ...],
        payload: bytes,
        expire: int,
        refused: Callable[[bytes], None],
    ) -> bool:
        """Publish a message; return whether it was sent. Redis may still refuse it."""


class Uplink:
    """Publishes messages of clients on the channels that each of them may write.

    What can't be published waits in order, and its client is not read any further, so that no more
    waits than one read of each client.

    Args:
        way: Publishes.
        expire: Seconds for which each message is persisted; 0 for not at all.
        metrics: Where events are counted.
    """

    def __init__(self, way: Way, expire: int, metrics: Metrics) -> None:
        self._way = way
        self._expire = expire
        self._metrics = metrics
        self._waiting: deque[tuple[Facility, bytes]] = deque()

    def publish(self, facility: Facility, payload: bytes) -> None:
        """Publish a message now, or as soon as Redis is back."""
        self._metrics.event("messages.received")
        if not facility.membership.publications:
            return
        if self._waiting or not self._publish(facility, payload):
            self._waiting.append((facility, payload))
            if facility.connection is not None:
                facility.connection.pause(facility)

    def release(self, facility: Facility) -> None:
        """Do nothing: what a client sent before it went is still published."""

    def retry(self) -> None:
        """Publish what waits, as far as that is possible."""
        served = []
        while self._waiting and self._publish(*self._waiting[0]):
            served.append(self._waiting.popleft()[0])
        if not served:
            return
        still = {facility for facility, _ in self._waiting}
        for facility in set(served) - still:
            if facility.connection is not None:
                facility.connection.resume(facility)

    def _publish(self, facility: Facility, payload: bytes) -> bool:
        channels = facility.membership.publications
        refused = partial(facility.retract, payload)
        published = self._way.publish(channels, payload, self._expire, refused)
        if published:
            facility.expect_return(payload)
        return published
