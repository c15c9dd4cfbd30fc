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
    """Record what is published by ``RedisPublisher`` and by views, in a list.

    Nothing gets to Redis. Inside of ``override_bus``, it gets to the websockets of the test.
    """
    captured: list[PublishedMessage] = []
    really = redis_store.publish

    def publish(
        connection: Any, channels: Iterable[str], payload: bytes, seconds: int, once: str = ""
    ) -> int:
        names = sorted(channels)
        captured.extend(PublishedMessage(name, RedisMessage(payload), seconds) for name in names)
        if current_scene() is None:
            return 0
        return really(connection, names, payload, seconds, once)

    with patch.object(redis_store, "publish", publish):
        yield captured
