"""Both ends of a connection that needs no network: the loop's, and the test's."""

from __future__ import annotations

import itertools
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ws4redis.wire.close import CloseCode
from ws4redis.wire.frames import Opcode, encode_frame

Message = str | bytes

_READ = 1
_MASKED, _LENGTH, _OPCODE = 0x80, 0x7F, 0x0F


class Watcher:
    """Tells the loop that there is something to read; a test decides when."""

    def __init__(self) -> None:
        self.callback: Callable[[], object] = lambda: None
        self.active = False

    def start(self, callback: Callable[[], object]) -> None:
        """Watch."""
        self.callback, self.active = callback, True

    def stop(self) -> None:
        """Watch no more."""
        self.active = False

    close = stop


class Wires:
    """Makes connections, and the watchers of the loop's ends."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._ends: dict[int, ServerEnd] = {}

    def connect(self) -> tuple[ServerEnd, ClientEnd]:
        """Return both ends of a new connection."""
        server = ServerEnd(next(self._numbers))
        self._ends[server.fileno()] = server
        return server, server.client

    def watch(self, descriptor: int, events: int) -> Watcher:
        """Return a watcher, as the loop of gevent does."""
        return self._ends[descriptor].watcher if events == _READ else Watcher()

    def cut(self) -> Iterator[None]:
        """End all connections, without a word; yield after each one."""
        # Transactions of views that wait in them end as they have to: the newest first.
        for end in reversed(tuple(self._ends.values())):
            end.client.end()
            yield

    @property
    def is_busy(self) -> bool:
        """Whether the loop has something to read."""
        return any(end.is_due for end in self._ends.values())

    def move(self) -> bool:
        """Let the loop read what clients sent; return whether there was anything."""
        is_moved = False
        for number, end in tuple(self._ends.items()):
            if end.is_closed:
                del self._ends[number]
            elif end.is_due:
                end.watcher.callback()
                is_moved = True
        return is_moved


class ServerEnd:
    """The end of the loop, which takes it for a socket."""

    family = socket.AF_UNIX

    def __init__(self, number: int) -> None:
        self._number = number
        self.watcher = Watcher()
        self.client = ClientEnd(self)
        self.incoming = bytearray()
        self.is_ended = False
        """Whether nothing more will come in."""
        self.is_closed = False

    @property
    def is_readable(self) -> bool:
        """Whether there is anything to read, if only the end."""
        return bool(self.incoming) or self.is_ended

    @property
    def is_received(self) -> bool:
        """Whether the test has received all that was sent."""
        return not self.client.messages

    @property
    def is_due(self) -> bool:
        """Whether the loop would read now."""
        return self.is_readable and self.watcher.active and not self.is_closed

    def fileno(self) -> int:
        """Return what stands for it."""
        return self._number

    def setblocking(self, flag: bool) -> None:
        """Do nothing."""

    def setsockopt(self, *option: Any) -> None:
        """Do nothing."""

    def send(self, data: bytes) -> int:
        """Send all of it."""
        self.client.take(bytes(data))
        return len(data)

    def recv(self, size: int) -> bytes:
        """Return what came; nothing at the end."""
        if not self.is_readable:
            raise BlockingIOError
        data = bytes(self.incoming[:size])
        del self.incoming[:size]
        return data

    def shutdown(self, how: int) -> None:
        """Send nothing any more; then the client does neither."""
        self.client.end()

    def close(self) -> None:
        """Give it up."""
        self.is_closed = True
        self.client.end()


class ClientEnd:
    """The end of the test: a websocket client without the network."""

    def __init__(self, server: ServerEnd) -> None:
        self._server = server
        self.messages: deque[Message] = deque()
        self.close_code: int | None = None
        """Why it ended; None while it is open."""
        self.close_reason = ""
        self._has_closed = False

    def send(self, opcode: int, payload: bytes) -> None:
        """Send one frame, masked as clients must."""
        frame = encode_frame(opcode, payload)
        size = len(frame) - len(payload)
        start = bytes((frame[0], frame[1] | _MASKED)) + frame[2:size] + bytes(4)
        self._server.incoming += start + payload

    def close(self, code: int, reason: str) -> None:
        """Begin, or answer, the closing handshake."""
        if not self._has_closed:
            self._has_closed = True
            self.send(Opcode.CLOSE, code.to_bytes(2, "big") + reason.encode())

    def end(self) -> None:
        """Send nothing any more."""
        self._server.is_ended = True
        if self.close_code is None:
            self.close_code = CloseCode.ABNORMAL

    def take(self, data: bytes) -> None:
        """Take whole frames."""
        while data:
            opcode, length, size = data[0] & _OPCODE, data[1] & _LENGTH, 2
            if length > 125:
                size = 4 if length == 126 else 10
                length = int.from_bytes(data[2:size], "big")
            self._take(opcode, data[size : size + length])
            data = data[size + length :]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == Opcode.PING:
            self.send(Opcode.PONG, payload)
        elif opcode == Opcode.CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big") or CloseCode.NO_STATUS
            self.close_reason = payload[2:].decode()
            self.close(CloseCode.NORMAL, "")
        elif opcode == Opcode.TEXT:
            self.messages.append(payload.decode())
        elif opcode == Opcode.BINARY:
            self.messages.append(payload)
