"""A websocket client that shows what it got: any HTTP answer, and single frames."""

from __future__ import annotations

import base64
import http.client
import os
import secrets
import socket
import ssl
import struct
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ws4redis.wire.frames import Opcode
from ws4redis.wire.handshake import accept_key
from ws4redis.wire.masking import unmask

BODY_LIMIT = 65536
_SECURE = {"ws": False, "http": False, "wss": True, "https": True}


@dataclass(frozen=True, slots=True)
class Target:
    """The address of a websocket as a browser would open it."""

    secure: bool
    netloc: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str, prefix: str, facility: str) -> Target:
        """Read an address; what is missing is added.

        Args:
            url: Such as ``https://example.com`` or ``wss://example.com/ws/chat``.
            prefix: ``WEBSOCKET_URL``.
            facility: The facility, if the address names none.

        Raises:
            ValueError: It is no address of a website or a websocket.
        """
        parts = urlsplit(url)
        if parts.scheme not in _SECURE or not parts.hostname:
            raise ValueError(f"{url!r} is no address such as https://example.com/ or wss://…")
        secure = _SECURE[parts.scheme]
        path = parts.path if parts.path.strip("/") else prefix
        path = path if not path.endswith("/") else path + facility
        port = parts.port or (443 if secure else 80)
        return cls(secure, parts.netloc.rpartition("@")[2], parts.hostname, port, path)

    @property
    def origin(self) -> str:
        """The origin of the site's pages."""
        return f"{'https' if self.secure else 'http'}://{self.netloc}"

    @property
    def facility(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def __str__(self) -> str:
        return f"{'wss' if self.secure else 'ws'}://{self.netloc}{self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: str = ""


class Cut(Exception):
    """The connection ended without a close frame."""


class Websocket:
    """A connection on which a handshake was sent.

    Args:
        target: Where to.
        query: The flags, such as ``subscribe-broadcast``.
        cookie: The ``Cookie`` header; empty for none.
        timeout: Seconds that connecting and each answer may take.
        context: How to check the certificate.

    Raises:
        OSError: There is no connection.
        http.client.HTTPException: What answered speaks no HTTP.
    """

    def __init__(
        self, target: Target, query: str, cookie: str, timeout: float, context: ssl.SSLContext
    ) -> None:
        self._connection = _connect(target, timeout, context)
        self._key = base64.b64encode(os.urandom(16)).decode()
        headers = {
            "Host": target.netloc,
            "Origin": target.origin,
            "User-Agent": "ws4redis-check",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": self._key,
            "Sec-WebSocket-Version": "13",
            **({"Cookie": cookie} if cookie else {}),
        }
        try:
            self._connection.request("GET", f"{target.path}?{query}", headers=headers)
            self._response = self._connection.getresponse()
            self.answer = self._read_answer()
        except BaseException:
            self.close()
            raise

    @property
    def is_open(self) -> bool:
        """Whether the handshake succeeded."""
        accepted = self.answer.headers.get("sec-websocket-accept", "")
        return self.answer.status == 101 and accepted == accept_key(self._key)

    def receive(self, timeout: float) -> tuple[int, bytes] | None:
        """Return the opcode and the payload of the next frame; None if none comes in time.

        Raises:
            Cut: The other side ended the connection.
        """
        self._socket.settimeout(max(timeout, 0.001))
        try:
            first, second = self._read(2)
        except TimeoutError:
            return None
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._read(8))
        return first & 0x0F, self._read(length)

    def wait_for(self, payload: bytes, timeout: float) -> bool:
        """Return whether a message arrives in time; answers pings meanwhile."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            frame = self.receive(left)
            if frame is None:
                return False
            if frame[1] == payload and frame[0] in (Opcode.TEXT, Opcode.BINARY):
                return True
            if frame[0] == Opcode.PING:
                self.send(Opcode.PONG, frame[1])
        return False

    def send(self, opcode: int, payload: bytes) -> None:
        """Send a short frame."""
        mask = secrets.token_bytes(4)
        masked = unmask(payload, mask)
        self._socket.sendall(bytes((0x80 | opcode, 0x80 | len(payload))) + mask + masked)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    @property
    def _socket(self) -> Any:
        return self._connection.sock

    def _read(self, count: int) -> bytes:
        try:
            data: bytes = self._response.fp.read(count)
        except (ConnectionError, ssl.SSLError) as error:
            raise Cut from error
        if len(data) < count:
            raise Cut
        return data

    def _read_answer(self) -> Answer:
        response = self._response
        headers = {name.lower(): value for name, value in response.getheaders()}
        body = b"" if response.status == 101 else response.read(BODY_LIMIT)
        return Answer(response.status, headers, body.decode(errors="replace"))


def _connect(target: Target, timeout: float, context: ssl.SSLContext) -> Any:
    connection: http.client.HTTPConnection
    if target.secure:
        connection = http.client.HTTPSConnection(
            target.host, target.port, timeout=timeout, context=context
        )
    else:
        connection = http.client.HTTPConnection(target.host, target.port, timeout=timeout)
    connection.connect()
    assert isinstance(connection.sock, socket.socket)
    return connection
