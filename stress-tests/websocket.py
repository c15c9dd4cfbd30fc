"""One websocket for text messages that are short, of whoever speaks plain RFC 6455."""

from __future__ import annotations

import base64
import os
import socket
from types import TracebackType
from urllib.parse import urlsplit

PATIENCE = 60
TEXT_FRAME, MASKED = 0x81, 0x80
LONG = 126


class Websocket:
    """An open websocket; ``with`` closes it.

    Args:
        url: Where it is, such as ``ws://127.0.0.1:8000/ws/chat?subscribe-broadcast``.

    Raises:
        ConnectionError: The server refused.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port or 80), PATIENCE)
        self._stream = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        status = self._stream.readline()
        if b" 101 " not in status:
            self.close()
            raise ConnectionError(f"The server refused {url!r}: {status!r}")
        while self._stream.readline() not in (b"\r\n", b""):
            continue

    def __enter__(self) -> Websocket:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection."""
        self._stream.close()
        self._socket.close()

    def send(self, text: bytes) -> None:
        """Send a short text frame, masked as a client has to (RFC 6455, 5.3)."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(text))
        self._socket.sendall(bytes((TEXT_FRAME, MASKED | len(text))) + mask + masked)

    def receive(self) -> bytes:
        """Return the next text message; pings are none.

        Raises:
            ConnectionError: The server closed the connection.
        """
        while True:
            opcode, size = self._exactly(2)
            if size == LONG:
                size = int.from_bytes(self._exactly(2), "big")
            payload = self._exactly(size)
            if opcode == TEXT_FRAME:
                return payload

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise ConnectionError("The server closed the connection.")
        return data
