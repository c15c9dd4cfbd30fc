"""One open connection: its bounded way out, and its end, driven by the hub's callbacks.

A connection has no greenlet and no timer of its own. Everything here runs on the hub and must not
block. A connection passes these phases, never back:

* OPEN: messages are delivered.
* CLOSING: we said goodbye and wait for the peer's word.
* LINGERING: all is said; what the peer still sends is dropped until it ends, so that the kernel
  does not reset the socket over unread bytes and lose what we said last (RFC 6455, 7.1.1).
* CLOSED: the socket is gone.

``Websocket`` and ``EventStream`` are the two kinds.
"""

from __future__ import annotations

import logging
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol

from ws4redis import flood
from ws4redis.loop.outbox import Outbox
from ws4redis.wire.close import CloseCode

if TYPE_CHECKING:
    from ws4redis.loop.admission import Place
    from ws4redis.loop.registry import Registry

logger = flood.clients.guard(logging.getLogger(__name__))

READ_SIZE = 16384
"""Bytes taken from a socket at once; a client that sends more has to wait for its next turn. So
many bytes of the smallest frames hold the hub for some six milliseconds. (Those of compressed ones
stand for more, so ``Protocol.receive_data`` stops in between.)"""

SLOW = "The client %s is too slow: %d bytes wait (WS4REDIS_OUTBOX_SIZE); disconnected"
SILENT = "The client %s answered no ping within %g s; disconnected"
ENDED = "Closed for %s with %d after %.1f s"
_READ, _WRITE = 1, 2
_AT_ONCE = struct.pack("ii", 1, 0)


class Handler(Protocol):
    """What a connection is used for; every method runs on the hub and must not block."""

    def on_open(self, connection: Connection) -> None:
        """The connection is open; called once, before anything else."""

    def on_message(self, payload: bytes, binary: bool) -> None:
        """The client sent a message."""

    def on_close(self, code: int, reason: str) -> None:
        """No message comes or goes any more; called once, also if we close."""

    def farewell(self, code: int, reason: str) -> bytes:
        """Return what is to be sent before our close frame."""


class Phase(IntEnum):
    """Where a connection is in its life."""

    OPEN = 0
    CLOSING = 1
    LINGERING = 2
    CLOSED = 3


_OPEN = Phase.OPEN
"""For the path of a delivery, where to look it up took as long as a call."""


class Connection(ABC):
    """One open connection of either kind.

    Args:
        sock: A connected socket on which the handshake is done; the connection owns it now.
        handler: What the connection is used for.
        registry: The connections of this process, with all that they share.
    """

    __slots__ = (
        "_handler",
        "_outbox",
        "_pausers",
        "_reader",
        "_registry",
        "_sock",
        "_writer",
        "heard",
        "phase",
        "place",
        "since",
        "turns",
    )

    def __init__(self, sock: socket.socket, handler: Handler, registry: Registry) -> None:
        self._sock = sock
        self._handler = handler
        self._registry = registry
        self._outbox: Outbox | None = None
        self._writer: Any = None
        self._pausers: frozenset[object] = frozenset()
        self._reader = registry.io(sock.fileno(), _READ)
        self.phase = Phase.OPEN
        self.place: Place | None = None
        self.since = registry.now()
        self.heard = True
        self.turns = (0, 0)

    @abstractmethod
    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Say goodbye; nothing is delivered any more."""

    @abstractmethod
    def ping(self) -> None:
        """Find out whether the peer is still there."""

    @abstractmethod
    def beat(self) -> None:
        """Send the heartbeat."""

    def hush(self) -> None:
        """Send no heartbeats; to be called once it is open."""
        self._registry.hush(self)

    @abstractmethod
    def _receive(self, data: bytes) -> None:
        """Take what the peer sent."""

    def open(self, early: bytes = b"") -> None:
        """Start the traffic.

        Args:
            early: Bytes that the client sent together with its handshake.
        """
        self._handler.on_open(self)
        if self.phase is not Phase.CLOSED:
            self._reader.start(self._on_readable)
            if early:
                self._receive(early)

    def send(self, data: bytes) -> None:
        """Send encoded messages; what the socket does not take waits in the outbox.

        A client for which too much waits is disconnected. Nothing happens once the end has begun.
        """
        if self.phase is _OPEN:
            self._write(data)

    def when_flushed(self, callback: Callable[[], object]) -> None:
        """Call something as soon as the socket has taken all that was sent, or is gone."""
        if self._outbox is None:
            callback()
        else:
            self._outbox.when_empty.append(callback)

    def _write(self, data: bytes) -> None:
        if self._outbox is not None:
            self._enqueue(data)
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._fail(error)
            return
        if sent != len(data):
            self._enqueue(data[sent:])

    def abort(self) -> None:
        """Drop the socket without a word."""
        self._lose()

    @property
    def paused(self) -> bool:
        """Whether nothing is read from the client at present."""
        return not self._reader.active

    @property
    def is_excused(self) -> bool:
        """Whether it may be silent: we don't read from it, and nothing waits for it to read."""
        return self.paused and self._outbox is None

    def pause(self, who: object = None) -> None:
        """Stop reading, unless it is about to end; what the client sends then waits in the network.

        Args:
            who: Wants it; the connection is read again when nobody does any more.
        """
        if self.phase is not Phase.OPEN:
            return
        if not self.paused:
            self._stop_reading()
        self._pausers |= {who}

    def resume(self, who: object = None) -> None:
        """Read again after ``pause()``, unless somebody else has paused it, too."""
        if who not in self._pausers:
            return
        self._pausers -= {who}
        if not self._pausers and self.phase is not Phase.CLOSED:
            self._read_again()

    def _stop_reading(self) -> None:
        self._reader.stop()

    def _read_again(self) -> None:
        self._reader.start(self._on_readable)
        self.heard = True

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)
            return
        if data:
            self._receive(data)
        else:
            self._lose()

    def _enqueue(self, data: bytes) -> None:
        if self._outbox is None:
            self._outbox = Outbox(self._registry.options.outbox_size)
            self._writer = self._registry.io(self._sock.fileno(), _WRITE)
            self._writer.start(self._on_writable)
        is_good = self._outbox.append(data)
        self._registry.backlog.update(self, len(self._outbox))
        if not is_good:
            self.give_up()
        while slowest := self._registry.backlog.slowest():
            self._registry.metrics.event("limits.backlog")
            slowest.give_up()

    def give_up(self) -> None:
        """Drop a client that is too slow, with all that waits for it."""
        self._registry.metrics.event("connections.slow")
        logger.warning(SLOW, self._address, len(self._outbox or ()))
        self._lose()

    def give_up_silent(self) -> None:
        """Drop a client that has not been heard of since it was pinged."""
        self._registry.metrics.event("connections.silent")
        logger.info(SILENT, self._address, self._registry.options.ping_interval or 0)
        self._lose()

    def _fail(self, error: OSError) -> None:
        """Drop a client whose socket failed, perhaps as the kernel heard of it no more."""
        if isinstance(error, TimeoutError):
            self.give_up_silent()
        else:
            self._lose()

    @property
    def _address(self) -> str:
        return self.place.address if self.place is not None else "unknown"

    def _on_writable(self) -> None:
        outbox = self._outbox
        if outbox is None:
            return
        try:
            outbox.consume(self._sock.send(outbox.head()))
            # Its pong may wait behind much more.
            self.heard = True
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)
            return
        self._registry.backlog.update(self, len(outbox))
        if not outbox:
            self._drop_outbox()
            self._shut_if_over()

    def _drop_outbox(self) -> None:
        if self._writer is not None:
            self._writer.stop()
            self._writer.close()
            self._registry.backlog.update(self, 0)
        outbox, self._writer, self._outbox = self._outbox, None, None
        for callback in outbox.when_empty if outbox is not None else ():
            callback()

    def _shut_if_over(self) -> None:
        """End our side of the connection once all is said and sent."""
        if self.phase is not Phase.LINGERING or self._outbox is not None:
            return
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._lose()

    def _lose(self) -> None:
        if self.phase is Phase.CLOSED:
            return
        self._end(Phase.CLOSED, CloseCode.ABNORMAL, "")
        if self._outbox is not None:
            # The rest of a frame will never follow: let the kernel forget what it has of it, which
            # it would offer for minutes to a client that does not read.
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._drop_outbox()
        self._reader.stop()
        self._reader.close()
        self._sock.close()
        self._registry.discard(self)

    def _end(self, phase: Phase, code: int, reason: str) -> None:
        """Enter a later phase; tell the handler when messages end."""
        was_open = self.phase is Phase.OPEN
        self.phase = max(self.phase, phase)
        if was_open:
            self._registry.closing(self)
            logger.info(ENDED, self._address, code, self._registry.now() - self.since)
            self._handler.on_close(code, reason)
