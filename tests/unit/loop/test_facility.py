from __future__ import annotations

from typing import Any

import pytest

from tests.unit.loop.fakes import FakeConnection
from tests.unit.loop.test_dispatcher import Redis, encode_auto, encode_binary, settled
from ws4redis.loop.connection import Phase
from ws4redis.loop.facility import Facility, Membership
from ws4redis.loop.joining import Start
from ws4redis.wire.outgoing import Encoding, Outgoing


class Publisher:
    def __init__(self) -> None:
        self.published: list[bytes] = []
        self.released = 0

    def publish(self, facility: Facility, payload: bytes) -> None:
        facility.expect_return(payload)
        self.published.append(payload)

    def release(self, facility: Facility) -> None:
        self.released += 1


class Setting:
    """A facility on a dispatcher, with a connection of the test's own."""

    def __init__(self, **membership: Any) -> None:
        self.redis = Redis()
        self.publisher = Publisher()
        self.connection: Any = FakeConnection()
        self.facility = Facility(
            Membership(subscriptions=(b"a",), publications=(b"a",), **membership),
            dispatcher=self.redis.dispatcher,
            publisher=self.publisher,
            heartbeat=b"--beat--",
            hold_limit=1000,
        )
        self.facility.join()

    def arrives(self, *payloads: bytes) -> None:
        self.redis.dispatcher.dispatch([(b"a", payload, "") for payload in payloads])

    def sent(self) -> bytes:
        return b"".join(self.connection.sent)


def test_what_comes_before_the_websocket_is_open_is_delivered_first() -> None:
    setting = Setting()
    setting.facility.start(b"a", Start(messages=[Outgoing(b"persisted")]))
    setting.arrives(b"early")
    setting.facility.on_open(setting.connection)
    setting.arrives(b"live")
    assert setting.sent() == b"".join(map(encode_auto, [b"persisted", b"early", b"live"]))
    with pytest.raises(RuntimeError):
        _ = setting.facility.handover


def test_a_websocket_that_misses_some_of_what_came_before_it_was_open_is_closed() -> None:
    setting = Setting()
    setting.facility.start(b"a", Start())
    setting.arrives(b"x" * 1000, b"one too many")
    setting.facility.on_open(setting.connection)
    assert setting.connection.closed_with == 1013
    assert setting.sent() == b""


def test_own_messages_do_not_come_back_and_those_of_others_do() -> None:
    setting = Setting()
    setting.facility.on_open(setting.connection)
    setting.facility.on_message(b"mine", False)
    setting.arrives(b"other", b"mine", b"mine")
    assert setting.sent() == encode_auto(b"other") + encode_auto(b"mine")
    setting.arrives(b"direct")
    assert setting.sent().endswith(encode_auto(b"direct"))


def test_with_echo_own_messages_come_back() -> None:
    setting = Setting(echo=True)
    setting.facility.on_open(setting.connection)
    setting.facility.on_message(b"mine", False)
    setting.arrives(b"mine")
    assert setting.sent() == encode_auto(b"mine")


def test_after_a_loss_of_the_link_nothing_is_swallowed() -> None:
    setting = Setting()
    setting.facility.on_open(setting.connection)
    setting.redis.dispatcher.forget_returns()
    setting.facility.on_message(b"lost", False)
    setting.redis.dispatcher.forget_returns()
    setting.arrives(b"lost")
    assert setting.sent() == encode_auto(b"lost")


@pytest.mark.parametrize("channels", [(b"a",), ()])
def test_a_message_that_was_not_published_is_not_mistaken_for_that_of_another(
    channels: tuple[bytes, ...],
) -> None:
    setting = Setting()
    setting.facility.on_open(setting.connection)
    setting.facility.on_message(b"same", False)
    setting.facility.retract(b"same", *channels)
    setting.arrives(b"same")
    assert setting.sent() == encode_auto(b"same")
    setting.facility.on_message(b"late", False)
    setting.connection.phase = Phase.CLOSED
    setting.facility.on_close(1006, "")
    setting.facility.retract(b"late", *channels)


@pytest.mark.parametrize("others", [0, 1])
def test_what_is_published_after_the_end_of_its_websocket_brings_it_back_nowhere(
    others: int,
) -> None:
    setting = Setting()
    for _ in range(others):
        settled(setting.redis, b"a")
    setting.facility.on_open(setting.connection)
    setting.connection.phase = Phase.CLOSED
    setting.facility.on_close(1006, "")
    setting.publisher.publish(setting.facility, b"kept during an outage")
    setting.arrives(b"kept during an outage", b"live")
    assert setting.connection.sent == []
    assert len(list(setting.redis.dispatcher.channels)) == others


def test_a_websocket_that_ends_between_two_slices_is_not_settled_again() -> None:
    setting = Setting()
    setting.facility.on_open(setting.connection)
    setting.facility.on_message(b"mine", False)
    setting.connection.phase = Phase.CLOSED
    setting.facility.on_close(1006, "")
    assert setting.facility.accept(b"a", Outgoing(b"mine")) == b""
    assert list(setting.redis.dispatcher.channels) == []


def test_a_heartbeat_of_the_client_is_no_message() -> None:
    setting = Setting()
    setting.facility.on_open(setting.connection)
    setting.facility.on_message(b"--beat--", False)
    setting.facility.on_message(b"", True)
    assert setting.publisher.published == [b""]


def test_a_binary_websocket_gets_binary_only() -> None:
    setting = Setting(encoding=Encoding(binary=True))
    setting.facility.start(b"a", Start(messages=[Outgoing(b"old")]))
    setting.facility.on_open(setting.connection)
    setting.arrives(b"new")
    assert setting.sent() == encode_binary(b"old") + encode_binary(b"new")


def test_when_the_websocket_ends_all_channels_are_given_back() -> None:
    setting = Setting()
    setting.facility.on_open(setting.connection)
    assert not setting.facility.is_closed
    setting.connection.phase = Phase.CLOSED
    setting.facility.on_close(1006, "")
    assert setting.facility.is_closed
    assert setting.redis.calls[-1] == ("unsubscribe", b"a")
    assert setting.publisher.released == 1


def test_a_websocket_that_ends_while_it_opens_joins_nothing() -> None:
    setting = Setting()
    setting.facility.start(b"a", Start(messages=[Outgoing(b"too much")]))

    def lose(data: bytes) -> None:
        setting.connection.phase = Phase.CLOSED
        setting.facility.on_close(1006, "")

    setting.connection.send = lose
    setting.facility.on_open(setting.connection)
    assert list(setting.redis.dispatcher.channels) == []
