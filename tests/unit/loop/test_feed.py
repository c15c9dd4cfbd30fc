"""What a stream of events says of where its channels are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.eventsource import Event, parse
from tests.unit.loop.fakes import FakeConnection
from ws4redis.history import Position
from ws4redis.loop.dispatcher import Dispatcher
from ws4redis.loop.facility import Membership
from ws4redis.loop.fanout import Fanout
from ws4redis.loop.feed import RETRY, Feed
from ws4redis.loop.joining import Start
from ws4redis.metrics import Metrics
from ws4redis.wire.outgoing import Form, Gap, Outgoing, get_encoding


class Nobody:
    """A publisher for those who publish nothing."""

    def publish(self, facility: Any, payload: bytes) -> None:
        raise AssertionError("a stream publishes nothing")

    def release(self, facility: Any) -> None:
        pass


class Streamed:
    """A stream of three channels, of which as many as asked have a history."""

    def __init__(self, kept: int) -> None:
        fanout = Fanout(pause=lambda: None, spawn=lambda function: function())
        self.metrics = Metrics()
        self.dispatcher = Dispatcher(lambda _: None, lambda _: None, fanout, self.metrics)
        names = (b"a", b"b", b"c")
        membership = Membership(
            name="f", subscriptions=names, encoding=get_encoding(form=Form.EVENT)
        )
        parts = {"publisher": Nobody(), "heartbeat": None, "hold_limit": 1000}
        self.feed = Feed(membership, dispatcher=self.dispatcher, **parts)
        self.feed.join()
        for number, name in enumerate(names):
            position = Position("e", 7) if number < kept else None
            self.feed.start(name, Start(position))
        self.connection: Any = FakeConnection()

    def open(self) -> None:
        self.feed.on_open(self.connection)

    def publish(self, channel: bytes, payload: bytes, position: str = "") -> None:
        self.dispatcher.dispatch([(channel, payload, position)])

    def events(self) -> list[Event]:
        return parse(b"".join(self.connection.sent))


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (0, ["", "", "", ""]),
        (1, ["a@e:7", "a@e:8", "a@e:8", "a@e:9"]),
        (2, ["a@e:7,b@e:7", "a@e:8,b@e:7", "a@e:8,b@e:7", "a@e:9,b@e:7"]),
    ],
)
def test_each_event_tells_how_far_all_channels_have_come(kept: int, expected: list[str]) -> None:
    streamed = Streamed(kept)
    streamed.open()
    for channel, position in ((b"a", "e:8"), (b"c", ""), (b"a", "e:9")):
        streamed.publish(channel, b"x", position if kept else "")
    assert [event.last_event_id for event in streamed.events()] == expected
    assert streamed.metrics.values["messages.delivered"] == 3


def test_what_was_missed_and_what_came_meanwhile_is_counted_in() -> None:
    streamed = Streamed(2)
    missed = [Outgoing(b"1", "b", "e:8"), Outgoing(b"2", "b", "e:9")]
    streamed.feed.start(b"b", Start(Position("e", 7), recovered=True, messages=missed))
    streamed.publish(b"a", b"3", "e:8")
    streamed.open()
    streamed.publish(b"b", b"4", "e:10")
    events = streamed.events()
    assert [event.payload for event in events] == ["", "1", "2", "3", "4"]
    assert [event.last_event_id for event in events] == [
        *("a@e:7,b@e:7", "a@e:7,b@e:8", "a@e:7,b@e:9", "a@e:8,b@e:9", "a@e:8,b@e:10"),
    ]


@pytest.mark.parametrize("kept", [1, 2])
def test_a_gap_moves_on(kept: int) -> None:
    streamed = Streamed(kept)
    streamed.open()
    streamed.dispatcher.notify(b"a", lambda shown: Gap(shown, "n:3"))
    welcome, gap = streamed.events()
    assert (gap.type, gap.head) == ("gap", {"type": "gap", "channel": "a", "position": "n:3"})
    assert gap.last_event_id == welcome.last_event_id.replace("a@e:7", "a@n:3")


def test_streams_of_one_history_share_what_they_get() -> None:
    for kept, shares in ((0, True), (1, True), (2, False)):
        one = Streamed(kept)
        one.open()
        message = Outgoing(b"x", "a", "e:8")
        assert (one.feed.accept(b"a", message) is message.frame(one.feed.encoding)) is shares


@pytest.mark.parametrize(("code", "returns"), [(1001, True), (4001, True), (4501, False)])
def test_the_last_word_says_whether_and_when_to_come_back(code: int, returns: bool) -> None:
    streamed = Streamed(0)
    (last,) = parse(streamed.feed.farewell(code, "so be it"))
    assert (last.type, last.head["code"], last.head["reason"]) == ("closing", code, "so be it")
    assert last.head["reconnect"] is returns
    assert last.retry == last.head.get("delay")
    assert (last.retry is not None) is returns


def test_streams_that_break_together_do_not_come_back_together() -> None:
    retries = set()
    for _ in range(20):
        streamed = Streamed(0)
        streamed.open()
        retries.add(streamed.events()[0].retry)
    assert retries <= set(RETRY)
    assert len(retries) > 1
