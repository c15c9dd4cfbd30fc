from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from tests.unit.loop.redis_model import RedisModel
from tests.waiting import wait_for
from ws4redis.exceptions import BusError
from ws4redis.loop import backoff
from ws4redis.loop.bus import Bus
from ws4redis.metrics import Metrics


class Outage:
    """Opens no link for a number of attempts."""

    def __init__(self, redis: RedisModel, attempts: int) -> None:
        self.redis = redis
        self.attempts = attempts

    def connect(self) -> Any:
        self.attempts -= 1
        if self.attempts >= 0:
            raise BusError("Redis is away.")
        return self.redis.connect()


class Deaf:
    """A listener that wants to hear nothing."""

    def channels(self) -> Iterator[bytes]:
        return iter(())

    def on_connected(self) -> None: ...

    def on_messages(self, deliveries: object) -> None: ...

    def on_lost(self, epoch: int) -> None: ...


def test_the_link_comes_back_after_any_number_of_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "MAX_DELAY", 0)
    redis = RedisModel()
    bus = Bus(Outage(redis, 3000).connect, Deaf(), Metrics())
    bus.start()
    try:
        wait_for(lambda: gevent.idle() or bus.is_connected)
    finally:
        bus.stop()
        redis.cut()
