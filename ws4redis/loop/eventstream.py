"""One open stream of events: a connection on which only the server speaks.

The client answers no pings. That it vanished is found out by the kernel, which hears no
acknowledgement of what was sent.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from ws4redis.loop.connection import Connection, Handler, Phase
from ws4redis.wire.close import CloseCode
from ws4redis.wire.sse import COMMENT

if TYPE_CHECKING:
    from ws4redis.loop.registry import Registry

INPUT_LIMIT = 2**16
"""Bytes that a client may send for nothing, before it is taken for a hostile one."""
TCP_USER_TIMEOUT = 18
"""See tcp(7); Python knows it on Linux only."""


class EventStream(Connection):
    """One open stream of events; its last one ends it.

    Args:
        sock: A connected socket on which the answer has begun; the stream owns it now.
        handler: What the stream is used for.
        registry: The connections of this process, with all that they share.
    """

    __slots__ = ("_received",)

    def __init__(self, sock: socket.socket, handler: Handler, registry: Registry) -> None:
        super().__init__(sock, handler, registry)
        self._received = 0
        if registry.options.ping_interval is not None:
            # A socket that is not one of TCP, or of another system, has no such option.
            with contextlib.suppress(OSError):
                patience = round(registry.options.ping_interval * 1000)
                sock.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, patience)

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Send the last event and end the answer."""
        if self.phase is not Phase.OPEN:
            return
        if words := self._handler.farewell(code, reason):
            self._write(words)
        # Nobody is there any more if that failed.
        self._end(Phase.LINGERING, code, reason)
        self._shut_if_over()

    def ping(self) -> None:
        """Send something, so that the kernel finds out whether the peer is still there."""
        self.send(COMMENT)
        self.heard = True

    def beat(self) -> None:
        """Send a heartbeat, which no page sees."""
        self.send(COMMENT)

    def _receive(self, data: bytes) -> None:
        # Pipelined requests, perhaps; nothing is to be answered on this connection any more.
        self._received += len(data)
        if self._received > INPUT_LIMIT:
            self._registry.metrics.event("connections.malformed")
            self._lose()
