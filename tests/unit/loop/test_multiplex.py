from __future__ import annotations

import json
from typing import Any

import gevent
import pytest
from gevent.event import Event

from tests.unit.loop.fakes import FakeConnection
from ws4redis.exceptions import HandshakeError
from ws4redis.loop.connection import Phase
from ws4redis.loop.dispatcher import Dispatcher
from ws4redis.loop.facility import Facility, Membership
from ws4redis.loop.fanout import Fanout
from ws4redis.loop.multiplex import QUEUE_LIMIT, Multiplex
from ws4redis.loop.uplink import Uplink
from ws4redis.metrics import Metrics
from ws4redis.wire import v1
from ws4redis.wire.outgoing import Encoding, Form


class Way:
    """A bus that is there or not."""

    def __init__(self) -> None:
        self.is_open = True
        self.published: list[bytes] = []

    def publish(self, channels: Any, payload: bytes, *_: Any) -> bool:
        if self.is_open:
            self.published.append(payload)
        return self.is_open


class Setting:
    """A websocket on facility ``first``, which may subscribe others."""

    def __init__(self) -> None:
        self.way = Way()
        self.uplink = Uplink(self.way, 0, Metrics())
        self.subscribed: list[bytes] = []
        self.fanout = Fanout(pause=lambda: None, spawn=lambda function: None)
        self.dispatcher = Dispatcher(
            self.subscribed.append, self.subscribed.remove, self.fanout, Metrics()
        )
        self.may_join = Event()
        self.may_join.set()
        self.held: list[int] = []
        self.connection: Any = FakeConnection()
        self.multiplex = Multiplex(self.facility("first"), self.subscribe, b"--beat--")
        self.multiplex.on_open(self.connection)
        self.connection.sent.clear()

    def facility(self, name: str, command: int | None = None) -> Facility:
        membership = Membership(
            subscriptions=(name.encode(),),
            publications=(name.encode(),),
            echo=True,
            name=name,
            command=command,
            encoding=Encoding(form=Form.V1),
        )
        facility = Facility(
            membership,
            dispatcher=self.dispatcher,
            publisher=self.uplink,
            heartbeat=None,
            hold_limit=1000,
        )
        facility.join()
        return facility

    def subscribe(self, command: v1.Subscribe, held: int) -> Facility:
        self.held.append(held)
        self.may_join.wait()
        if command.facility == "secret":
            raise HandshakeError(403, "Not for you.")
        return self.facility(command.facility, command.id)

    def says(self, kind: str, payload: bytes | None = None, **head: Any) -> None:
        line = v1.head(kind, **head)
        data = line if payload is None else line + b"\n" + payload
        self.multiplex.on_message(data, False)

    def goes_on(self) -> None:
        for _ in range(5):
            gevent.sleep(0)

    def told(self) -> list[dict[str, Any]]:
        """Return the heads that were sent, of frames without a mask."""
        data, heads = b"".join(self.connection.sent), []
        while data:
            size, start = data[1], 2
            if size == 126:
                size, start = int.from_bytes(data[2:4], "big"), 4
            heads.append(json.loads(data[start : start + size].partition(b"\n")[0]))
            data = data[start + size :]
        return heads


@pytest.fixture
def setting() -> Setting:
    return Setting()


def test_commands_are_carried_out_in_order_while_a_facility_is_joined(setting: Setting) -> None:
    setting.may_join.clear()
    setting.says("subscribe", id=1, facility="second", channels=[])
    setting.says("publish", b"to the second", facility="second")
    setting.says("publish", b"to the first", facility="first")
    setting.says("unsubscribe", id=2, facility="second")
    setting.says("publish", b"too late", facility="second", id=3)
    setting.goes_on()
    assert setting.way.published == []
    assert setting.told() == []
    setting.may_join.set()
    setting.goes_on()
    assert setting.way.published == [b"to the second", b"to the first"]
    assert [(one["type"], one["id"]) for one in setting.told()] == [
        ("subscribed", 1),
        ("unsubscribed", 2),
        ("refused", 3),
    ]
    assert setting.subscribed == [b"first"]


def test_a_client_that_asks_for_too_much_at_once_waits(setting: Setting) -> None:
    setting.may_join.clear()
    setting.says("subscribe", id=0, facility="second", channels=[])
    setting.goes_on()
    for _ in range(QUEUE_LIMIT):
        setting.says("publish", b"", facility="first")
    assert not setting.connection.paused
    setting.says("publish", b"", facility="first")
    setting.says("publish", b"", facility="first")
    assert setting.connection.paused
    setting.may_join.set()
    setting.goes_on()
    assert not setting.connection.paused
    assert len(setting.way.published) == QUEUE_LIMIT + 2


def test_it_goes_on_waiting_for_redis_when_its_commands_are_carried_out(setting: Setting) -> None:
    setting.may_join.clear()
    setting.says("subscribe", id=0, facility="second", channels=[])
    for number in range(2 * QUEUE_LIMIT):
        setting.says("publish", b"%d" % number, facility="first")
    setting.way.is_open = False
    setting.may_join.set()
    setting.goes_on()
    assert setting.connection.paused
    setting.way.is_open = True
    setting.uplink.retry()
    assert not setting.connection.paused
    assert setting.way.published == [b"%d" % number for number in range(2 * QUEUE_LIMIT)]


def test_who_is_served_again_may_have_to_wait_for_something_else(setting: Setting) -> None:
    setting.connection.pause("somebody else")
    setting.way.is_open = False
    setting.says("publish", b"x", facility="first")
    setting.way.is_open = True
    setting.uplink.retry()
    assert setting.connection.paused


def test_a_websocket_that_ends_while_it_joins_is_left_out(setting: Setting) -> None:
    setting.may_join.clear()
    setting.says("subscribe", id=1, facility="second", channels=[])
    setting.says("subscribe", id=2, facility="third", channels=[])
    setting.goes_on()
    setting.connection.phase = Phase.CLOSED
    setting.multiplex.on_close(1006, "")
    setting.may_join.set()
    setting.goes_on()
    assert setting.subscribed == []
    assert len(setting.held) == 1


def test_a_facility_that_is_refused_stops_nothing(setting: Setting) -> None:
    setting.says("subscribe", id=1, facility="secret", channels=[])
    setting.says("subscribe", id=2, facility="second", channels=[])
    setting.goes_on()
    refused, subscribed = setting.told()
    assert (refused["type"], refused["id"], refused["status"]) == ("refused", 1, 403)
    assert (subscribed["type"], subscribed["id"]) == ("subscribed", 2)
    assert setting.subscribed == [b"first", b"second"]
    # The channels held already are those of the others.
    assert setting.held == [1, 1]


def test_a_facility_that_is_subscribed_anew_is_not_counted_twice(setting: Setting) -> None:
    setting.says("subscribe", id=1, facility="first", channels=[])
    setting.goes_on()
    assert setting.held == [0]
    assert setting.subscribed == [b"first"]


@pytest.mark.parametrize("kind", ["subscribe", "unsubscribe"])
def test_what_is_still_due_comes_before_the_answer(setting: Setting, kind: str) -> None:
    # Others are written before it, and the hub does something else in between.
    others = [setting.facility("first") for _ in range(300)]
    for facility in others:
        connection: Any = FakeConnection()
        facility.on_open(connection)
    clock = iter(range(10_000))
    setting.fanout._clock = lambda: float(next(clock))
    setting.dispatcher.dispatch([(b"first", b"late", "e:1")])
    assert setting.told() == [], "it is not the last one to be written"
    setting.says(kind, id=1, facility="first", channels=[])
    setting.goes_on()
    assert [one["type"] for one in setting.told()] == ["message", f"{kind}d"]


def test_a_heartbeat_and_what_is_no_command(setting: Setting) -> None:
    setting.multiplex.on_message(b"--beat--", False)
    assert setting.connection.closed_with is None
    setting.multiplex.on_message(b"--beat", False)
    assert setting.connection.closed_with == 4502
