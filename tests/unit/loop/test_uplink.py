from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.unit.loop.fakes import FakeConnection
from ws4redis.loop.facility import Membership
from ws4redis.loop.uplink import Uplink
from ws4redis.metrics import Metrics


class Way:
    """A bus that is there or not."""

    def __init__(self) -> None:
        self.is_open = True
        self.is_refusing = False
        self.published: list[tuple[bytes, ...]] = []

    def publish(
        self,
        channels: tuple[bytes, ...],
        payload: bytes,
        expire: int,
        refused: Callable[[bytes], None],
    ) -> bool:
        if self.is_open:
            self.published.append((*channels, payload, b"%d" % expire))
        if self.is_refusing:
            refused(channels[0])
        return self.is_open


class FakeFacility:
    def __init__(self, *publications: bytes) -> None:
        self.membership = Membership(publications=publications)
        self.connection = FakeConnection()
        self.expected: list[bytes] = []
        self.retracted: list[tuple[bytes, bytes]] = []

    def expect_return(self, payload: bytes) -> None:
        self.expected.append(payload)

    def retract(self, payload: bytes, channel: bytes) -> None:
        self.retracted.append((channel, payload))


def make() -> tuple[Way, Uplink, Any]:
    way = Way()
    return way, Uplink(way, 60, Metrics()), FakeFacility(b"a", b"b")


def test_a_message_is_published_on_all_channels_of_its_client() -> None:
    way, uplink, facility = make()
    uplink.publish(facility, b"x")
    uplink.release(facility)
    assert way.published == [(b"a", b"b", b"x", b"60")]
    assert facility.expected == [b"x"]


def test_a_client_without_a_channel_to_write_is_heard_by_nobody() -> None:
    way, uplink, _ = make()
    silent: Any = FakeFacility()
    uplink.publish(silent, b"x")
    assert way.published == []


def test_while_redis_is_away_clients_wait_and_lose_nothing() -> None:
    way, uplink, facility = make()
    other: Any = FakeFacility(b"c")
    way.is_open = False
    uplink.publish(facility, b"1")
    uplink.publish(other, b"2")
    uplink.publish(facility, b"3")
    uplink.retry()
    assert facility.connection.paused
    assert facility.expected == []
    way.is_open = True
    uplink.retry()
    assert [message[-2] for message in way.published] == [b"1", b"2", b"3"]
    assert not facility.connection.paused
    assert not other.connection.paused
    assert facility.expected == [b"1", b"3"]


def test_a_message_does_not_overtake_one_that_waits() -> None:
    way, uplink, facility = make()
    way.is_open = False
    uplink.publish(facility, b"1")
    way.is_open = True
    uplink.publish(facility, b"2")
    uplink.retry()
    assert [message[-2] for message in way.published] == [b"1", b"2"]


def test_a_message_that_redis_refuses_is_not_expected_back() -> None:
    way, uplink, facility = make()
    way.is_refusing = True
    uplink.publish(facility, b"x")
    assert facility.retracted == [(b"a", b"x")]
