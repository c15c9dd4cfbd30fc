"""What clients do that are slow, broken or hostile, and what the others see of it: nothing."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_facility import BOTH, publish, receive
from tests.raw import HANDSHAKE, RawClient
from tests.servers import ROOT, RedisServer, Server, end, serving
from tests.waiting import PATIENCE, wait_for

KINDS = ("serve", "uwsgi", "runserver", "gunicorn-gevent", "gunicorn-gthread")
CLIENTS = int(os.environ.get("LAZY_CLIENTS", "200"))
"""Clients that never read; by hand with 2000."""
LORISES = 100
ONE_PROCESS = {"workers = 2": "workers = 1"}
"""Each process opens some descriptors with its first websocket, and one may get its first late."""


def handshake(server: Server, facility: str) -> bytes:
    return RawClient.request(server.host, f"/ws/{facility}?{BOTH}&echo", HANDSHAKE)


def count_in_log(server: Server, text: str) -> int:
    """Count lines, those that were left out among them."""
    left_out = re.findall(rf"(\d+) more lines were left out: .*{text}", server.log)
    return len(re.findall(rf"(?m)^(?!.*left out).*{text}", server.log)) + sum(map(int, left_out))


def one_process(kind: str) -> dict[str, str]:
    return ONE_PROCESS if kind.startswith("gunicorn") else {}


def descriptors(server: Server) -> int:
    return sum(process.num_fds() for process in server.tree())


def listeners(redis_client: Any, facility: str) -> int:
    """Return how many processes follow a facility."""
    ((_, count),) = redis_client.pubsub_numsub(f"broadcast:{facility}")
    return int(count)


@pytest.mark.parametrize("kind", KINDS)
def test_clients_that_never_read_are_named_and_closed_and_others_lose_nothing(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_raw: Any,
    open_websocket: Any,
) -> None:
    with serving(kind, tmp_path, redis_server.url, WS4REDIS_OUTBOX_SIZE=2**15) as server:
        path = f"/ws/{facility}?subscribe-broadcast"
        lazy = [open_raw(server, path, receive_buffer=2048) for _ in range(CLIENTS)]
        quick = [open_websocket(server.url(f"{facility}?subscribe-broadcast")) for _ in range(3)]
        padding = "x" * 2**16

        def all_were_named() -> bool:
            message = f"{next(numbers)} {padding}"
            publish(facility, message)
            assert [receive(client) for client in quick] == [message] * len(quick)
            return count_in_log(server, "is too slow") == CLIENTS

        numbers = iter(range(10**9))
        wait_for(all_were_named, patience=4 * PATIENCE)
        assert "The client 127.0.0.1 is too slow" in server.log
        assert all(client.is_ended() for client in lazy)
        publish(facility, "the last one")
        assert [receive(client) for client in quick] == ["the last one"] * len(quick)
        assert count_in_log(server, "is too slow") == CLIENTS


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_pings_and_never_reads_is_dropped(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_raw: Any,
    open_websocket: Any,
) -> None:
    settings = {"WS4REDIS_OUTBOX_SIZE": 2**15, "WS4REDIS_MAX_MESSAGE_RATE": None}
    with serving(kind, tmp_path, redis_server.url, **settings) as server:
        client = open_raw(server, f"/ws/{facility}", receive_buffer=2048)
        pings = client.frame(b"x" * 125, opcode=9) * 100

        def is_dropped() -> bool:
            try:
                client.send_bytes(pings)
            except OSError:
                return True
            return False

        wait_for(is_dropped)
        assert "is too slow" in server.log
        other = open_websocket(server.url(f"{facility}?subscribe-broadcast"))
        publish(facility, "served")
        assert receive(other) == "served"


@contextmanager
def lorises(server: Server, begin: bytes, count: int) -> Iterator[list[socket.socket]]:
    """Open connections that have begun a request and not ended it."""
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            opened.append(stack.enter_context(server.connect()))
            opened[-1].sendall(begin)
        yield opened


def drip(client: socket.socket) -> bytes:
    """Send one byte after another until something answers; return the answer."""
    deadline = time.monotonic() + PATIENCE
    while not select.select([client], [], [], 0.05)[0]:
        assert time.monotonic() < deadline, "nobody answers"
        with suppress(OSError):
            client.sendall(b"x")
    with suppress(ConnectionResetError):
        return client.recv(4096)
    return b""


def test_a_handshake_that_never_ends_gets_a_408_and_others_are_served_meanwhile(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    settings = {"WS4REDIS_HANDSHAKE_TIMEOUT": 2}
    with serving("serve", tmp_path, redis_server.url, **settings) as server:
        before = descriptors_at_rest(server, facility)
        half = handshake(server, facility)[:-2] + b"X-Drip: "
        with lorises(server, half, LORISES) as clients:
            other = open_websocket(server.url(f"{facility}?subscribe-broadcast"))
            publish(facility, "on time")
            assert receive(other) == "on time"
            assert drip(clients[0]).startswith(b"HTTP/1.1 408 ")
            for client in clients[1:]:
                assert client.recv(4096).startswith(b"HTTP/1.1 408 ")
            other.close()
            wait_for(lambda: descriptors(server) <= before)


def test_whoever_sends_nothing_is_hung_up_on(
    tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    settings = {"WS4REDIS_HANDSHAKE_TIMEOUT": 0.2}
    with serving("serve", tmp_path, redis_server.url, **settings) as server:
        begin = len(server.log)
        with lorises(server, b"", 3) as clients:
            assert [client.recv(4096) for client in clients] == [b""] * 3
        # A browser opens such connections to be quick later; that is nothing to tell of.
        assert server.log[begin:] == ""


TOO_BIG = {
    "one that never ends": b"X-Long: " + b"x" * 10**6,
    "long headers": b"X-Long: " + b"x" * 70_000 + b"\r\n\r\n",
    "many headers": b"X: y\r\n" * 300 + b"\r\n",
    "many long headers": (b"X: " + b"y" * 4000 + b"\r\n") * 30 + b"\r\n",
}


@pytest.mark.parametrize("headers", TOO_BIG.values(), ids=TOO_BIG.keys())
def test_headers_beyond_the_bounds_get_a_431(
    headers: bytes, tmp_path: Path, redis_server: RedisServer, users: Any, facility: str
) -> None:
    with serving("serve", tmp_path, redis_server.url) as server, server.connect() as client:
        with suppress(ConnectionError):
            client.sendall(handshake(server, facility)[:-2] + headers)
        assert client.recv(4096).startswith(b"HTTP/1.1 431 ")
        assert "Refused a request of 127.0.0.1 with 431" in server.log


def test_what_is_no_request_gets_a_400_at_once(
    tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    with (
        serving("serve", tmp_path, redis_server.url, WS4REDIS_HANDSHAKE_TIMEOUT=3600) as server,
        server.connect() as client,
    ):
        # The beginning of TLS, which has no end of a line in it.
        client.sendall(bytes.fromhex("1603010200010001fc0303"))
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")
        assert "with 400: it is malformed" in server.log


@pytest.mark.parametrize(
    ("method", "length", "status"),
    [
        (b"PUT", b"Content-Length: 9999999999", b"405"),
        (b"PUT", b"Transfer-Encoding: chunked", b"405"),
        (b"POST", b"Content-Length: 9999999999", b"413"),
        (b"POST", b"Transfer-Encoding: chunked", b"411"),
    ],
)
def test_a_body_that_never_ends_is_not_waited_for(
    method: bytes,
    length: bytes,
    status: bytes,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
) -> None:
    with serving("serve", tmp_path, redis_server.url) as server, server.connect() as client:
        client.sendall(
            method + b" /ws/foo HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\nthe beginning"
        )
        answer = b""
        with suppress(ConnectionResetError):
            while data := client.recv(4096):
                answer += data
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert b"\r\nConnection: close\r\n" in answer


VANISHING = """
import sys, time
from websockets.sync.client import connect
with connect(sys.argv[1], proxy=None, ping_interval=None):
    print("open", flush=True)
    time.sleep(3600)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_vanishes_without_a_word_is_given_up(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    redis_client: Any,
    users: Any,
    facility: str,
) -> None:
    with serving(kind, tmp_path, redis_server.url, WS4REDIS_PING_INTERVAL=1) as server:
        command = [sys.executable, "-c", VANISHING, server.url(f"{facility}?subscribe-broadcast")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as client:
            try:
                assert client.stdout is not None
                assert client.stdout.readline() == b"open\n"
                assert listeners(redis_client, facility) == 1
                client.send_signal(signal.SIGSTOP)
                wait_for(lambda: listeners(redis_client, facility) == 0)
            finally:
                end(client, signal.SIGKILL)


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_ends_its_half_is_closed(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    redis_client: Any,
    users: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    with serving(kind, tmp_path, redis_server.url, one_process(kind)) as server:
        stays = open_websocket(server.url(f"{facility}?subscribe-broadcast"))
        before = descriptors_at_rest(server, facility)
        with ExitStack() as stack:
            halves = [stack.enter_context(server.connect()) for _ in range(10)]
            for client in halves:
                client.sendall(handshake(server, facility))
                assert b" 101 " in client.recv(4096)
                client.shutdown(socket.SHUT_WR)
            for client in halves:
                assert client.recv(4096) == b""
            wait_for(lambda: descriptors(server) <= before)
        publish(facility, "still here")
        assert receive(stays) == "still here"


@pytest.mark.parametrize("kind", KINDS)
def test_frames_in_segments_of_one_byte_are_echoed_right(
    kind: str, tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_raw: Any
) -> None:
    with serving(kind, tmp_path, redis_server.url, WS4REDIS_DRAIN_TIME=0.1) as server:
        client = open_raw(server, f"/ws/{facility}?{BOTH}&echo")
        messages = [b"", b"x", "schön".encode() * 15, b"last"]
        for byte in b"".join(map(client.frame, messages)):
            client.send_bytes(bytes([byte]))
        assert [client.receive_message() for _ in messages] == messages


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def before_the_handshake(server: Server, facility: str) -> None:
    reset(server.connect())


def within_the_handshake(server: Server, facility: str) -> None:
    client = server.connect()
    client.sendall(handshake(server, facility)[:70])
    reset(client)


def before_the_answer(server: Server, facility: str) -> None:
    client = server.connect()
    client.sendall(handshake(server, facility))
    reset(client)


def after_the_handshake(server: Server, facility: str) -> None:
    client = server.connect()
    client.sendall(handshake(server, facility))
    client.recv(4096)
    reset(client)


STAGES = (before_the_handshake, within_the_handshake, before_the_answer, after_the_handshake)


@pytest.mark.parametrize("kind", KINDS)
def test_clients_that_reset_at_any_time_leave_nothing_behind(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    redis_client: Any,
    users: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    with serving(kind, tmp_path, redis_server.url, one_process(kind)) as server:
        stays = open_websocket(server.url(f"{facility}-stays?subscribe-broadcast"))
        before = descriptors_at_rest(server, facility)
        for stage in STAGES:
            for _ in range(25):
                stage(server, facility)
        wait_for(lambda: listeners(redis_client, facility) == 0)
        wait_for(lambda: descriptors(server) <= before)
        publish(f"{facility}-stays", "still here")
        assert receive(stays) == "still here"
        assert "Traceback" not in server.log


def descriptors_at_rest(server: Server, facility: str) -> int:
    """Return how many there are once each process has all that it opens only once."""
    for stage in STAGES:
        for _ in range(10):
            stage(server, facility)
    counts = [-1]

    def rests() -> bool:
        counts.append(descriptors(server))
        return len(counts) > 20 and len(set(counts[-20:])) == 1

    wait_for(rests)
    return counts[-1]
