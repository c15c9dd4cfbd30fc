"""A websocket client that shows what it got: any HTTP answer, and single frames."""

from __future__ import annotations

import base64
import http.client
import os
import secrets
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ws4redis.wire.frames import Opcode
from ws4redis.wire.handshake import accept_key
from ws4redis.wire.masking import unmask

BODY_LIMIT = 65536
READ_SIZE = 65536
_SECURE = {"ws": False, "http": False, "wss": True, "https": True}


@dataclass(frozen=True, slots=True)
class Target:
    """The address of a websocket as a browser would open it."""

    secure: bool
    netloc: str
    host: str
    port: int
    path: str
    """Percent-encoded."""
    facility: str

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
        path = unquote(parts.path) if parts.path.strip("/") else prefix
        path = path if not path.endswith("/") else path + facility
        return cls(
            secure=secure,
            netloc=parts.netloc.rpartition("@")[2],
            host=parts.hostname,
            port=parts.port or (443 if secure else 80),
            path=quote(path),
            facility=path.removeprefix(prefix),
        )

    @property
    def origin(self) -> str:
        """The origin of the site's pages."""
        return f"{'https' if self.secure else 'http'}://{self.netloc}"

    def __str__(self) -> str:
        return f"{'wss' if self.secure else 'ws'}://{self.netloc}{self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: str = ""


class Cut(Exception):
    """The other side ended the websocket.

    Args:
        code: The code of its close frame; None if there was none.
    """

    def __init__(self, code: int | None = None) -> None:
        super().__init__(code)
        self.code = code


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
            response = self._connection.getresponse()
            self.answer = _read_answer(response)
            self._buffer = _read_ahead(self._socket, response) if self.is_open else b""
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

        A ping is answered already.

        Raises:
            Cut: The other side ended the connection.
        """
        deadline = time.monotonic() + timeout
        while (frame := self._take_frame()) is None:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                self._receive_more()
            except TimeoutError:
                return None
        if frame[0] == Opcode.CLOSE:
            raise Cut(int.from_bytes(frame[1][:2], "big") or None)
        if frame[0] == Opcode.PING:
            self.send(Opcode.PONG, frame[1])
        return frame

    def wait_for(self, payload: bytes, timeout: float) -> bool:
        """Return whether a message arrives in time."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            frame = self.receive(left)
            if frame is None:
                return False
            if frame[1] == payload and frame[0] in (Opcode.TEXT, Opcode.BINARY):
                return True
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

    def _receive_more(self) -> None:
        try:
            data: bytes = self._socket.recv(READ_SIZE)
        except (ConnectionError, ssl.SSLError) as error:
            raise Cut from error
        if not data:
            raise Cut
        self._buffer += data

    def _take_frame(self) -> tuple[int, bytes] | None:
        """Take the first frame out of the buffer, if it is there as a whole."""
        if len(self._buffer) < 2:
            return None
        opcode, length, size = self._buffer[0] & 0x0F, self._buffer[1] & 0x7F, 2
        if length >= 126:
            size = 4 if length == 126 else 10
            length = int.from_bytes(self._buffer[2:size], "big")
        if len(self._buffer) < size + length:
            return None
        payload, self._buffer = self._buffer[size : size + length], self._buffer[size + length :]
        return opcode, payload


def _read_answer(response: http.client.HTTPResponse) -> Answer:
    headers = {name.lower(): value for name, value in response.getheaders()}
    body = b"" if response.status == 101 else response.read(BODY_LIMIT)
    return Answer(response.status, headers, body.decode(errors="replace"))


def _read_ahead(sock: socket.socket, response: http.client.HTTPResponse) -> bytes:
    """Return the bytes behind the headers that were read together with them."""
    sock.settimeout(0)
    try:
        return bytes(response.fp.peek())
    except ssl.SSLWantReadError:
        return b""


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
