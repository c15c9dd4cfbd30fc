"""Many websockets that wait for one live message; how they wait is the caller's affair."""

from __future__ import annotations

import base64
import os
import resource
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO
from urllib.parse import urlsplit

URL = os.environ.get("URL", "ws://127.0.0.1:8000/ws/")
CLIENTS = int(os.environ.get("CLIENTS", "1000"))
PATIENCE = 60
TEXT_FRAME, MASKED = 0x81, 0x80

_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))


class Subscribers:
    """Followers of a facility of their own.

    A server that persists messages hands each new websocket the last one, which must not pass for
    the live message. So an early message is published before any of them is open.
    """

    def __init__(self) -> None:
        self._facility = uuid.uuid4().hex
        self._early = f"{self._facility} early".encode()
        self._live = f"{self._facility} live".encode()
        self._open = threading.Semaphore(0)
        self._publish(self._early)

    @property
    def expected(self) -> list[list[bytes]]:
        """What each of them may receive: all the same, as a server persists messages or not."""
        return [[self._early, self._live], [self._live]]

    def follow(self) -> list[bytes]:
        """Open a websocket, and wait for the live message; return all that came up to it."""
        received: list[bytes] = []
        with _opened(f"{self._facility}?subscribe-broadcast") as (_, stream):
            self._open.release()
            while self._live not in received:
                received.append(self._receive(stream))
        return received

    def publish(self) -> None:
        """Send the live message from another websocket, once all others are open.

        Raises:
            TimeoutError: Not all of them could be opened.
        """
        for number in range(CLIENTS):
            if not self._open.acquire(timeout=PATIENCE):
                raise TimeoutError(f"Only {number} of {CLIENTS} websockets could be opened.")
        self._publish(self._live)

    def _publish(self, message: bytes) -> None:
        address = f"{self._facility}?subscribe-broadcast&publish-broadcast&echo"
        with _opened(address) as (client, stream):
            client.sendall(_masked(message))
            # Its return tells that Redis has it.
            while self._receive(stream) != message:
                continue

    def _receive(self, stream: BinaryIO) -> bytes:
        """Return the next message of the test; pings and heartbeats are none."""
        while True:
            opcode, size = _exactly(stream, 2)
            payload = _exactly(stream, size)
            if opcode == TEXT_FRAME and payload.startswith(self._facility.encode()):
                return payload


@contextmanager
def _opened(address: str) -> Iterator[tuple[socket.socket, BinaryIO]]:
    parts = urlsplit(URL)
    target = (parts.hostname or "", parts.port or 80)
    with socket.create_connection(target, PATIENCE) as client, client.makefile("rb") as stream:
        key = base64.b64encode(os.urandom(16)).decode()
        client.sendall(
            f"GET {parts.path}{address} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        status = stream.readline()
        if b" 101 " not in status:
            raise ConnectionError(f"The server refused {address!r}: {status!r}")
        while stream.readline() not in (b"\r\n", b""):
            continue
        yield client, stream


def _masked(payload: bytes) -> bytes:
    """Return a short text frame as a client has to send it (RFC 6455, 5.3)."""
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes((TEXT_FRAME, MASKED | len(payload))) + mask + masked


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise ConnectionError("The server closed the connection.")
    return data
