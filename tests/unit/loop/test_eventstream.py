from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.loop.conftest import READ, WRITE, Recorder
from ws4redis.loop.connection import Connection, Phase
from ws4redis.loop.eventstream import INPUT_LIMIT, TCP_USER_TIMEOUT
from ws4redis.loop.registry import TICK
from ws4redis.wire.sse import COMMENT


class Polite(Recorder):
    """A handler with a last word."""

    def farewell(self, code: int, reason: str) -> bytes:
        return b"bye %d" % code


class Streaming:
    """A stream beside the websocket that each setting has."""

    def __init__(self, setting: Any) -> None:
        self.registry = setting.registry
        self.metrics = setting.metrics
        self.io = setting.io
        server, self.client = socket.socketpair()
        self.client.settimeout(5)
        self.handler = Polite()
        self.stream: Connection = self.registry.adopt_stream(server, self.handler)

    def turn(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK)):
            self.registry.tick()


@pytest.fixture
def streaming(make: Any) -> Iterator[Any]:
    made: list[Streaming] = []

    def build(**options: Any) -> Streaming:
        made.append(Streaming(make(**options)))
        return made[-1]

    yield build
    for one in made:
        one.client.close()
        one.stream.abort()


def test_pings_and_heartbeats_are_comments_and_need_no_answer(streaming: Any) -> None:
    one = streaming(ping_interval=1, heartbeat=b"beat", heartbeat_interval=2)
    one.turn(4)
    assert one.client.recv(1000) == COMMENT * 6
    assert one.stream.phase is Phase.OPEN


def test_the_last_word_ends_the_answer_and_the_peer_is_waited_for(streaming: Any) -> None:
    one = streaming()
    one.stream.send(b"message")
    one.stream.close(4501)
    one.stream.close(1001)
    one.stream.send(b"not any more")
    assert one.client.recv(1000) == b"messagebye 4501"
    assert one.client.recv(1000) == b""
    assert one.handler.calls == ["open", ("close", 4501)]
    assert one.stream.phase is Phase.LINGERING
    one.client.close()
    one.io.fire(READ)
    assert one.stream.phase is Phase.CLOSED


def test_a_peer_that_stays_after_the_last_word_is_dropped(streaming: Any) -> None:
    one = streaming(close_timeout=1)
    one.stream.close()
    one.turn(1.1)
    assert one.stream.phase is Phase.CLOSED


def test_the_last_word_comes_behind_all_that_waits(streaming: Any) -> None:
    one = streaming(outbox_size=10_000_000)
    one.stream.send(bytes(2_000_000))
    one.stream.close(1001)
    got = b""
    while data := one.client.recv(1_000_000):
        got += data
        one.io.fire(WRITE)
    assert got == bytes(2_000_000) + b"bye 1001"


def test_a_slow_reader_is_given_up(streaming: Any) -> None:
    one = streaming(outbox_size=1000)
    for _ in range(20):
        one.stream.send(bytes(100_000))
    assert one.handler.calls == ["open", ("close", 1006)]
    assert one.metrics.values["connections.slow"] == 1


def test_what_the_client_sends_is_ignored_but_not_without_an_end(streaming: Any) -> None:
    one = streaming()
    for _ in range(INPUT_LIMIT // 2**10):
        one.client.sendall(bytes(2**10))
        one.io.fire(READ)
    assert one.handler.calls == ["open"]
    one.client.sendall(b"x")
    one.io.fire(READ)
    assert one.handler.calls == ["open", ("close", 1006)]
    assert one.metrics.values["connections.malformed"] == 1


def test_the_end_of_the_client_is_noticed(streaming: Any) -> None:
    one = streaming()
    one.client.close()
    one.io.fire(READ)
    assert one.handler.calls == ["open", ("close", 1006)]


def test_the_kernel_gives_up_a_peer_that_acknowledges_nothing(make: Any) -> None:
    registry = make(ping_interval=2.5).registry
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        server, _ = listener.accept()
        stream = registry.adopt_stream(server, Recorder())
        assert server.getsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT) == 2500
        stream.abort()
