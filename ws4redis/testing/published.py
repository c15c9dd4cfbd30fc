"""Records what a test publishes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from ws4redis import redis_store
from ws4redis.conf import get_settings
from ws4redis.redis_store import RedisMessage
from ws4redis.testing.bus import current_scene


@dataclass(frozen=True, slots=True)
class PublishedMessage:
    """One message on one channel."""

    channel: str
    """Its whole name in Redis."""
    data: RedisMessage
    """Its bytes; ``str()`` of it is its text."""
    expire: int = 0
    """Seconds for which it is persisted; 0 for not at all."""

    @property
    def facility(self) -> str | None:
        """The facility; None if it is no channel of one."""
        parts = get_settings().namespace.split(self.channel)
        return None if parts is None else parts[2]

    def json(self) -> Any:
        """Return what it says as JSON."""
        return json.loads(self.data)


@contextmanager
def captured_messages() -> Iterator[list[PublishedMessage]]:
    """Record what publishers, views and clients of facilities publish, in a list.

    Nothing gets to Redis. Inside of ``override_bus``, it gets to the websockets of the test.
    """
    captured: list[PublishedMessage] = []
    to_bus, to_nobody = redis_store._published, _Nobody()

    def published(
        connection: Any, channels: Iterable[str], payload: bytes, seconds: int, once: str
    ) -> Iterator[tuple[str, int]]:
        publish = to_nobody if current_scene() is None else to_bus
        for name, taken in publish(connection, sorted(channels), payload, seconds, once):
            captured.append(PublishedMessage(name, RedisMessage(payload), seconds))
            yield name, taken

    with patch.object(redis_store, "_published", published):
        yield captured


class _Nobody:
    """Publishes where nobody listens; that a key publishes but once holds there, too."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()

    def __call__(
        self, connection: Any, channels: Iterable[str], payload: bytes, seconds: int, once: str
    ) -> Iterator[tuple[str, int]]:
        new = [name for name in channels if (name, once) not in self._known]
        if once:
            self._known.update((name, once) for name in new)
        return ((name, 0) for name in new)
