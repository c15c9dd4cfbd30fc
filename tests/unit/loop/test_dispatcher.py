from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from tests.unit.loop.fakes import FakeConnection
from ws4redis.loop.dispatcher import Dispatcher
from ws4redis.loop.fanout import Fanout
from ws4redis.metrics import Metrics
from ws4redis.wire import deflate, outgoing
from ws4redis.wire.deflate import get_deflate
from ws4redis.wire.outgoing import PLAIN, Encoding, Outgoing

BINARY = Encoding(binary=True)


def encode_auto(payload: bytes) -> bytes:
    return Outgoing(payload).frame(PLAIN)


def encode_binary(payload: bytes) -> bytes:
    return Outgoing(payload).frame(BINARY)


class Redis:
    """What the dispatcher asks of the bus."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes]] = []
        self.dispatcher = Dispatcher(
            lambda channel: self.calls.append(("subscribe", channel)),
            lambda channel: self.calls.append(("unsubscribe", channel)),
            Fanout(pause=lambda: None, spawn=lambda function: function()),
            Metrics(),
        )


class Receiver:
    def __init__(
        self, connection: Any = None, answer: Any = None, encoding: Encoding = PLAIN
    ) -> None:
        self.connection = connection
        self.encoding = encoding
        self.accepted: list[bytes] = []
        self.forgot = 0
        self._answer = answer or (lambda payload: b"")

    def accept(self, channel: bytes, message: Outgoing) -> bytes:
        self.accepted.append(message.payload)
        return bytes(self._answer(message.payload))

    def forget_returns(self) -> None:
        self.forgot += 1


@pytest.fixture
def redis() -> Redis:
    return Redis()


def settled(redis: Redis, *channels: bytes, encoding: Encoding = PLAIN) -> Any:
    connection: Any = FakeConnection()
    receiver = Receiver(connection, encoding=encoding)
    for channel in channels:
        redis.dispatcher.join(channel, receiver)
        redis.dispatcher.settle(channel, receiver, connection)
    return receiver


def test_redis_follows_the_first_and_the_last_receiver(redis: Redis) -> None:
    first, second = settled(redis, b"a"), settled(redis, b"a")
    redis.dispatcher.leave(b"a", first)
    assert redis.calls == [("subscribe", b"a")]
    redis.dispatcher.leave(b"a", second)
    redis.dispatcher.leave(b"a", second)
    assert redis.calls == [("subscribe", b"a"), ("unsubscribe", b"a")]
    assert list(redis.dispatcher.channels) == []


def test_messages_that_arrive_together_are_one_write_for_each_connection(redis: Redis) -> None:
    both, one = settled(redis, b"a", b"b"), settled(redis, b"b")
    redis.dispatcher.dispatch(
        [(b"a", b"1", ""), (b"b", b"2", ""), (b"a", b"3", ""), (b"none", b"4", "")]
    )
    assert both.connection.sent == [encode_auto(b"1") + encode_auto(b"2") + encode_auto(b"3")]
    assert one.connection.sent == [encode_auto(b"2")]


def test_a_run_on_one_channel_is_one_write(redis: Redis) -> None:
    receiver = settled(redis, b"a")
    redis.dispatcher.dispatch([(b"a", b"1", ""), (b"a", b"2", "")])
    assert receiver.connection.sent == [encode_auto(b"1") + encode_auto(b"2")]


def test_a_message_is_encoded_once_whatever_the_number_of_receivers(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[bytes] = []
    encode = outgoing.encode_frame
    monkeypatch.setattr(
        outgoing,
        "encode_frame",
        lambda opcode, payload, **options: (
            encoded.append(payload) or encode(opcode, payload, **options)
        ),
    )
    for _ in range(50):
        settled(redis, b"a")
    redis.dispatcher.dispatch([(b"a", b"once", "")])
    assert encoded == [b"once"]


def test_a_message_is_compressed_once_for_all_whose_windows_are_equal(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    compressions: list[int] = []
    compressobj = deflate.zlib.compressobj
    monkeypatch.setattr(
        deflate.zlib,
        "compressobj",
        lambda level, method, bits: compressions.append(bits) or compressobj(level, method, bits),
    )
    encodings = [Encoding(deflate=get_deflate(bits, 10)) for bits in (15, 9)]
    forms = [PLAIN, *encodings, encodings[0]._replace(binary=True)]
    receivers = [settled(redis, b"a", encoding=form) for form in forms for _ in range(20)]
    redis.dispatcher.dispatch([(b"a", b"large " * 50, ""), (b"a", b"small", "")])
    assert sorted(compressions) == [-15, -9]
    assert len({receiver.connection.sent[0] for receiver in receivers}) == len(forms)
    assert len({id(receiver.connection.sent[0]) for receiver in receivers}) == len(forms)


def test_binary_receivers_get_binary_and_others_what_fits(redis: Redis) -> None:
    text, binary = settled(redis, b"a"), settled(redis, b"a", encoding=BINARY)
    redis.dispatcher.dispatch([(b"a", b"x", ""), (b"a", b"\xff", "")])
    assert text.connection.sent == [b"\x81\x01x\x82\x01\xff"]
    assert binary.connection.sent == [encode_binary(b"x") + encode_binary(b"\xff")]


def test_a_receiver_looks_at_each_message_until_it_settles(redis: Redis) -> None:
    connection: Any = FakeConnection()
    receiver = Receiver(connection, lambda payload: payload if payload == b"pass" else b"")
    redis.dispatcher.join(b"a", receiver)
    redis.dispatcher.dispatch([(b"a", b"hold", ""), (b"a", b"pass", "")])
    assert receiver.accepted == [b"hold", b"pass"]
    assert connection.sent == [b"pass"]
    redis.dispatcher.settle(b"a", receiver, connection)
    redis.dispatcher.dispatch([(b"a", b"direct", "")])
    redis.dispatcher.unsettle(b"a", receiver)
    redis.dispatcher.dispatch([(b"a", b"looked at", "")])
    assert receiver.accepted == [b"hold", b"pass", b"looked at"]
    assert connection.sent == [b"pass", encode_auto(b"direct")]


def test_a_receiver_without_a_connection_gets_nothing_sent(redis: Redis) -> None:
    receiver = Receiver(None, lambda payload: payload)
    redis.dispatcher.join(b"a", receiver)
    redis.dispatcher.dispatch([(b"a", b"1", "")])
    assert receiver.accepted == [b"1"]
    redis.dispatcher.leave(b"a", receiver)
    assert redis.calls[-1] == ("unsubscribe", b"a")


def test_receivers_may_leave_while_a_message_is_written(redis: Redis) -> None:
    receivers = [settled(redis, b"a") for _ in range(5)]

    def leave_all(data: bytes) -> None:
        for receiver in receivers:
            redis.dispatcher.leave(b"a", receiver)

    for receiver in receivers:
        receiver.connection.send = leave_all
    redis.dispatcher.dispatch([(b"a", b"1", "")])
    assert redis.calls[-1] == ("unsubscribe", b"a")


def test_large_messages_to_many_take_the_memory_of_one(redis: Redis) -> None:
    first, second = b"1" * 100_000, b"2" * 100_000
    for _ in range(300):
        connection = settled(redis, b"a", b"b").connection
        connection.send = lambda data: None
    tracemalloc.start()
    redis.dispatcher.dispatch([(b"a", first, ""), (b"b", second, ""), (b"a", first, "")])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * len(first)


def test_with_the_link_all_receivers_forget_what_they_await(redis: Redis) -> None:
    receiver = Receiver()
    redis.dispatcher.join(b"a", receiver)
    redis.dispatcher.forget_returns()
    assert receiver.forgot == 1
