"""Clients that come together and leave in every way there is."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.raw import HANDSHAKE, RawClient
from tests.servers import Server

FACILITY, LAZY = "crowd", "lazy"
SETTINGS = {"WS4REDIS_OUTBOX_SIZE": 2**15}
EACH = 10
"""Clients of each kind in one batch."""
MESSAGES, SIZE = 8, 2**16
"""What a client that never reads has to take: more than its kernels and the outbox hold."""


def close(client: socket.socket) -> None:
    client.sendall(RawClient.frame(b"\x03\xe8", opcode=8))
    _read_to_the_end(client)


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close_half(client: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)
    _read_to_the_end(client)


def send_too_much(client: socket.socket) -> None:
    client.sendall(b"\x82\xff" + struct.pack("!Q", 2**20 + 1) + bytes(4))
    _read_to_the_end(client)


def break_the_protocol(client: socket.socket) -> None:
    client.sendall(b"\xff" * 10)
    _read_to_the_end(client)


def leave(client: socket.socket) -> None:
    """Close the socket without a word."""


def read_on(client: socket.socket) -> None:
    """Begin to read when it is too late."""
    _read_to_the_end(client)


@dataclass(frozen=True)
class Visit:
    """How a client ends, and what it had asked for."""

    end: Callable[[socket.socket], None]
    facility: str = FACILITY
    headers: Mapping[str, str] = field(default_factory=dict)


STREAM = {"Upgrade": "", "Accept": "text/event-stream"}
VISITS = (
    *map(Visit, (close, reset, close_half, send_too_much, break_the_protocol)),
    Visit(read_on, LAZY),
    *(Visit(end, headers=STREAM) for end in (reset, close_half, leave)),
    Visit(read_on, LAZY, STREAM),
    # These are refused: by the codec, for their address, and by a hook.
    Visit(leave, headers={"Sec-WebSocket-Version": "8"}),
    Visit(leave, ""),
    Visit(leave, headers={"Origin": "http://evil.example"}),
)
BATCH = EACH * len(VISITS)


def come_and_go(server: Server, redis_client: Any) -> None:
    """Let a batch of clients connect, and then leave, each in its way."""
    with ExitStack() as stack:
        clients = []
        for visit in VISITS * EACH:
            client = stack.enter_context(server.connect(receive_buffer=2048))
            path = f"/ws/{visit.facility}?subscribe-broadcast&publish-broadcast"
            headers = {**HANDSHAKE, **visit.headers}
            client.sendall(RawClient.request(server.host, path, headers))
            clients.append(client)
        for client in clients:
            _read_head(client)
        for _ in range(MESSAGES):
            redis_client.publish(f"broadcast:{LAZY}", b"x" * SIZE)
        for client, visit in zip(clients, VISITS * EACH, strict=True):
            visit.end(client)


def _read_head(client: socket.socket) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(1)
        assert data, head
        head += data


def _read_to_the_end(client: socket.socket) -> None:
    with suppress(ConnectionError):
        while client.recv(65536):
            pass
