"""Recovery, answer by answer: the cases that ``test_recovery.py`` found, and failures of Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.unit.loop.fakes import FakeConnection
from ws4redis.channels import Namespace
from ws4redis.exceptions import BusError
from ws4redis.history import Call, Histories, Position, rules
from ws4redis.loop.dispatcher import Dispatcher
from ws4redis.loop.facility import Facility, Membership
from ws4redis.loop.fanout import Fanout
from ws4redis.loop.recovery import Recovery, Start
from ws4redis.metrics import Metrics
from ws4redis.wire.outgoing import Encoding, Form

KEPT, PLAIN = b"broadcast:kept", b"broadcast:plain"
LIVE = b"ws4redis:live:" + KEPT


class Way:
    """A bus whose answers a test gives, in any order."""

    def __init__(self) -> None:
        self.names: list[bytes] = []
        self.asked: list[tuple[Call, Callable[[Any], None]]] = []
        self.pinged: list[Callable[[Any], None]] = []

    def subscribe(self, channel: bytes) -> None:
        self.names.append(channel)

    def unsubscribe(self, channel: bytes) -> None:
        self.names.remove(channel)

    def get(self, key: bytes, reply: Callable[[Any], None]) -> None:
        reply(None)

    def ping(self, reply: Callable[[Any], None]) -> None:
        self.pinged.append(reply)

    def run(self, call: Call, reply: Callable[[Any], None]) -> None:
        self.asked.append((call, reply))

    def answer(self, answer: Any) -> None:
        """Answer the first question that is open."""
        self.asked.pop(0)[1](answer)


class Setting:
    def __init__(self) -> None:
        self.way = Way()
        self.metrics = Metrics()
        histories = Histories(Namespace(), rules({"kept": {}}))
        self.recovery = Recovery(self.way, histories, lambda: self.dispatcher, self.metrics)
        self.dispatcher = Dispatcher(
            self.recovery.follow,
            self.recovery.forget,
            Fanout(pause=lambda: None, spawn=lambda function: None),
            self.metrics,
        )
        self.starts: list[Start | Exception] = []

    def joins(self, channel: bytes = KEPT, since: Position | None = None) -> Facility:
        facility = Facility(
            Membership(subscriptions=(channel,), encoding=Encoding(form=Form.V1)),
            dispatcher=self.dispatcher,
            publisher=cast(Any, self),
            heartbeat=None,
            hold_limit=1000,
        )
        facility.join()
        self.recovery.start(channel, since, self.starts.append)
        return facility

    def opens(self, facility: Facility) -> FakeConnection:
        connection: Any = FakeConnection()
        facility.on_open(connection)
        connection.sent.clear()
        return connection

    def release(self, facility: Facility) -> None:
        pass

    def arrives(self, position: str, payload: bytes) -> None:
        words = position.encode() + b" " + payload
        self.dispatcher.dispatch(self.recovery.placed([(LIVE, words, "")]))


def reading(position: str, *messages: int, is_whole: bool = True) -> list[Any]:
    """Return an answer of ``read.lua``."""
    found: list[Any] = [position.encode(), int(is_whole), None]
    for offset in messages:
        found += [b"%d-0" % offset, b"no. %d" % offset]
    return found


@pytest.fixture
def setting() -> Setting:
    return Setting()


@pytest.fixture
def browser(setting: Setting) -> FakeConnection:
    """Return one that follows the channel, which is at a:1."""
    facility = setting.joins()
    setting.way.answer(reading("a:1"))
    return setting.opens(facility)


def count(browser: FakeConnection, offset: int) -> int:
    return b"".join(browser.sent).count(b"no. %d" % offset)


def test_a_check_while_it_catches_up_hands_nothing_on_twice(
    setting: Setting, browser: FakeConnection
) -> None:
    setting.arrives("a:4", b"after a hole")
    for _ in range(300):
        setting.recovery.check()
    # The first page, the check, and what each of them leads to.
    setting.way.answer(reading("a:4", 2, 3))
    setting.way.answer(reading("a:4", 2, 3))
    while setting.way.asked:
        call, _ = setting.way.asked[0]
        since = int(call.arguments[1])
        setting.way.answer(reading("a:4", *range(since + 1, 5)))
    assert [count(browser, offset) for offset in (2, 3, 4)] == [1, 1, 1]
    setting.arrives("a:5", b"no. 5")
    assert count(browser, 5) == 1


def test_who_has_left_its_channel_is_told_and_gets_nothing(setting: Setting) -> None:
    first = setting.joins()
    setting.way.answer(reading("a:1"))
    second = setting.joins()
    for facility in (first, second):
        facility.leave()
    third = setting.joins()
    setting.way.answer(reading("a:2"))
    third.leave()
    setting.way.answer(reading("a:3"))
    begun, *left = setting.starts
    assert isinstance(begun, Start)
    assert [type(one) for one in left] == [BusError, BusError]
    assert setting.way.asked == []
    assert setting.way.names == []


def test_what_can_not_be_read_is_read_at_the_next_check(
    setting: Setting, browser: FakeConnection
) -> None:
    setting.arrives("a:3", b"after a hole")
    late = setting.joins()
    setting.way.answer(RuntimeError("OOM"))
    assert isinstance(setting.starts[-1], BusError)
    late.leave()
    for _ in range(300):
        setting.recovery.check()
    setting.way.answer(reading("a:3", 2, 3))
    setting.way.answer(reading("a:3", 2, 3))
    assert [count(browser, offset) for offset in (2, 3)] == [1, 1]


def test_who_waits_for_what_was_missed_fails_with_the_link(
    setting: Setting, browser: FakeConnection
) -> None:
    setting.recovery.on_lost()
    setting.recovery.on_connected()
    setting.joins()
    setting.recovery.on_lost()
    assert isinstance(setting.starts[-1], BusError)
    setting.recovery.on_connected()
    # The answer to what was asked on the old link, as the bus gives it.
    setting.way.answer(BusError("The link to Redis broke."))
    setting.arrives("a:2", b"no. 2")
    assert browser.sent == []
    setting.way.answer(reading("a:2", 2))
    assert count(browser, 2) == 1


@pytest.mark.parametrize("words", [b"", b"a: x", b"*:2 x", b"a:-2 x", b"\xff:2 x"])
def test_what_has_no_position_is_dropped(
    setting: Setting, browser: FakeConnection, words: bytes
) -> None:
    setting.dispatcher.dispatch(setting.recovery.placed([(LIVE, words, "")]))
    assert browser.sent == []
    setting.arrives("a:2", b"no. 2")
    assert count(browser, 2) == 1


def test_of_a_gap_is_told_when_what_follows_is_subscribed(setting: Setting) -> None:
    browser = setting.opens(setting.joins(PLAIN))
    setting.recovery.on_lost()
    setting.recovery.on_connected()
    setting.recovery.tell_gaps()
    assert browser.sent == []
    setting.way.pinged.pop()("PONG")
    assert b'"type":"gap"' in b"".join(browser.sent)
    browser.sent.clear()
    setting.recovery.tell_gaps()
    setting.way.pinged.pop()(BusError("The link to Redis broke."))
    assert browser.sent == []
