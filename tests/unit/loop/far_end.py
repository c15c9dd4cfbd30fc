"""The far end of one websocket, which reads and writes when a test wants it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from tests.unit.wire import client_frame
from ws4redis.loop.connection import Connection, Handler, Phase
from ws4redis.loop.runner import Runner

TEXT, CLOSE = 1, 8


class FarEnd:
    """A browser, as far as it is like any other."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.is_blocked = False
        self.has_ended = False
        """Whether one of both sides began to end the websocket, or it never opened."""
        self._far: socket.socket | None = None
        self._data = b""

    @property
    def is_open(self) -> bool:
        return not self.has_ended and getattr(self.connection, "phase", None) is Phase.OPEN

    def open(self, runner: Runner, handler: Handler) -> None:
        near, self._far = socket.socketpair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        self._far.setblocking(False)
        self.connection = runner.adopt(near, handler, b"")

    def send(self, payload: bytes, opcode: int = TEXT) -> None:
        if self._far is not None:
            with contextlib.suppress(OSError):
                self._far.sendall(client_frame(opcode, payload))

    def read(self) -> bool:
        """Take what has come; return whether there was anything."""
        if self._far is None or self.is_blocked:
            return False
        try:
            data = self._far.recv(1 << 20)
        except OSError:
            return False
        self._data += data
        for opcode, payload in self._frames():
            if opcode != CLOSE:
                self.take(opcode, payload)
        return bool(data)

    def take(self, opcode: int, payload: bytes) -> None:
        """Note a message."""
        raise NotImplementedError

    def vanish(self) -> None:
        self.has_ended = True
        if self._far is not None:
            self._far.close()
            self._far = None

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        while len(self._data) >= 2:
            size, start = self._data[1], 2
            if size == 126:
                if len(self._data) < 4:
                    return
                size, start = int.from_bytes(self._data[2:4], "big"), 4
            if len(self._data) < start + size:
                return
            frame, self._data = self._data[: start + size], self._data[start + size :]
            yield frame[0] & 15, frame[start:]
