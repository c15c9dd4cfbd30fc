from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.loop.conftest import READ, WRITE, Recorder
from tests.unit.wire import client_frame
from ws4redis.loop.connection import Phase
from ws4redis.wire.deflate import get_deflate
from ws4redis.wire.outgoing import Outgoing, get_encoding
from ws4redis.wire.protocol import Protocol


def test_messages_reach_the_handler_and_pings_are_answered(make: Any) -> None:
    setting = make()
    setting.client_sends(client_frame(1, b"one") + client_frame(9, b"p") + client_frame(2, b"two"))
    assert setting.handler.calls == ["open", (b"one", False), (b"two", True)]
    assert setting.client.recv(100) == b"\x8a\x01p"


def test_a_pong_comes_before_the_answer_to_a_later_message(make: Any) -> None:
    setting = make()
    setting.handler.on_message = lambda payload, binary: setting.connection.send(payload)
    setting.client_sends(
        client_frame(1, b"fra", fin=False)
        + client_frame(9, b"first")
        + client_frame(0, b"gments")
        + client_frame(9, b"second")
    )
    assert setting.client.recv(100) == b"\x8a\x05firstfragments\x8a\x06second"


def test_bytes_that_came_with_the_handshake_are_handled(make: Any) -> None:
    setting = make()
    server, client = socket.socketpair()
    with client:
        handler = Recorder()
        connection = setting.registry.adopt(server, handler, client_frame(1, b"early"))
        assert handler.calls == ["open", (b"early", False)]
        connection.abort()


def test_a_socket_that_takes_nothing_gets_all_in_order_later(make: Any) -> None:
    setting = make(outbox_size=10_000_000)
    frames = [bytes([number]) * 100_000 for number in range(20)]
    for frame in frames:
        setting.connection.send(frame)
    got = b""
    while len(got) < 2_000_000:
        got += setting.client.recv(1_000_000)
        setting.io.fire(WRITE)
    assert got == b"".join(frames)
    assert [watcher.events for watcher in setting.io.watchers if not watcher.closed] == [READ]


def test_too_slow_a_client_is_dropped_and_counted(make: Any) -> None:
    setting = make(outbox_size=1000)
    for _ in range(20):
        setting.connection.send(bytes(100_000))
    assert setting.connection.phase is Phase.CLOSED
    assert setting.handler.calls[-1] == ("close", 1006)
    assert setting.metrics.values["connections.slow"] == 1
    assert len(setting.registry) == 0


def test_the_close_of_the_peer_is_answered_and_its_socket_ended(make: Any) -> None:
    setting = make()
    setting.client_sends(client_frame(8, b"\x0f\xa0"))
    assert setting.client.recv(100) == b"\x88\x02\x0f\xa0"
    assert setting.client.recv(100) == b""
    assert setting.connection.phase is Phase.LINGERING
    setting.client.close()
    setting.io.fire(READ)
    assert setting.connection.phase is Phase.CLOSED
    assert setting.handler.calls == ["open", ("close", 4000)]


def test_our_close_ends_messages_at_once_and_waits_for_the_peer(make: Any) -> None:
    setting = make()
    setting.connection.close(1001)
    setting.connection.close(1000)
    setting.connection.send(b"not any more")
    assert setting.client.recv(100) == b"\x88\x02\x03\xe9"
    assert setting.handler.calls[-1] == ("close", 1001)
    setting.client_sends(client_frame(1, b"late") + client_frame(8, b"\x03\xe9"))
    assert setting.handler.calls == ["open", ("close", 1001)]
    assert setting.connection.phase is Phase.LINGERING


def test_a_violation_is_answered_even_if_much_is_unread(make: Any) -> None:
    setting = make()
    setting.client_sends(b"\x81\x00" + bytes(20_000))
    setting.client_sends(bytes(20_000))
    frame = setting.client.recv(100)
    assert (frame[0], frame[2:4]) == (0x88, b"\x03\xea")
    assert setting.handler.calls[-1] == ("close", 1002)


def test_a_bug_in_the_handler_closes_with_1011_and_tells_the_client_nothing(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    setting = make()
    setting.client_sends(client_frame(1, b"bug"))
    assert setting.client.recv(100) == b"\x88\x02\x03\xf3"
    assert "a bug in the handler" in caplog.text


def test_a_reset_is_an_end(make: Any) -> None:
    setting = make()
    setting.connection._sock.close()
    setting.connection.send(b"x")
    assert setting.connection.phase is Phase.CLOSED
    setting.connection.abort()
    assert setting.handler.calls == ["open", ("close", 1006)]


def test_a_paused_connection_reads_nothing(make: Any) -> None:
    setting = make()
    setting.connection.pause()
    assert setting.connection.paused
    setting.client_sends(client_frame(1, b"later"))
    assert setting.handler.calls == ["open"]
    setting.connection.resume()
    setting.io.fire(READ)
    assert setting.handler.calls[-1] == (b"later", False)


def test_nothing_to_read_is_no_end(make: Any) -> None:
    setting = make()
    setting.io.fire(READ)
    assert setting.connection.phase is Phase.OPEN


def test_a_close_behind_a_full_outbox_is_still_sent(make: Any) -> None:
    setting = make(outbox_size=10_000_000)
    setting.connection.send(bytes(2_000_000))
    setting.client_sends(client_frame(8, b"\x03\xe8"))
    got = b""
    while data := setting.client.recv(1_000_000):
        got += data
        setting.io.fire(WRITE)
    assert got.endswith(b"\x88\x02\x03\xe8")


@pytest.fixture
def tcp() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The server's end and the client's, which takes little at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.settimeout(5)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        yield server, client


def test_the_kernel_takes_little_for_a_client_that_does_not_read(make: Any, tcp: Any) -> None:
    server, _ = tcp
    registry = make(outbox_size=1).registry
    connection = registry.adopt(server, Recorder())
    sent = 0
    while connection.phase is Phase.OPEN:
        connection.send(bytes(2**14))
        sent += 2**14
    # It would be two to four megabytes.
    assert sent < 2**20


def test_a_slow_client_is_reset_so_that_the_kernel_forgets_it(make: Any, tcp: Any) -> None:
    server, client = tcp
    connection = make(outbox_size=1).registry.adopt(server, Recorder())
    while connection.phase is Phase.OPEN:
        connection.send(bytes(2**14))

    def read_to_the_end() -> None:
        while client.recv(2**16):
            pass

    with pytest.raises(ConnectionResetError):
        read_to_the_end()


def test_a_pause_holds_back_what_came_with_the_same_read(make: Any) -> None:
    setting = make()
    setting.connection._protocol = Protocol(inflates=True)
    handled: list[int] = []

    def on_message(payload: bytes, binary: bool) -> None:
        handled.append(len(payload))
        setting.connection.pause()

    setting.handler.on_message = on_message
    large = Outgoing(bytes(2**20)).frame(get_encoding(True, get_deflate(15, 0)))
    head = 4 if large[1] == 126 else 2
    setting.client_sends(client_frame(0x42, large[head:]) * 3)
    assert handled == [2**20]
    for count in (2, 3):
        setting.connection.resume()
        assert handled == [2**20] * count
    setting.connection.resume()
    setting.client_sends(client_frame(1, b"goes on"))
    assert handled == [2**20] * 3 + [7]
