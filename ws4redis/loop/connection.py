"""One open websocket: the codec, its bounded way out, and its end, driven by the hub's callbacks.

A connection has no greenlet and no timer of its own. Everything here runs on the hub and must not
block. A connection passes these phases, never back:

* OPEN: messages go both ways.
* CLOSING: we sent a close frame and wait for the peer's.
* LINGERING: both close frames are out; what the peer still sends is dropped until it ends, so that
  the kernel does not reset the socket over unread bytes and lose our close frame (RFC 6455, 7.1.1).
* CLOSED: the socket is gone.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol

from ws4redis import flood
from ws4redis.loop.outbox import Outbox
from ws4redis.loop.rate import Rate
from ws4redis.wire import protocol as wire
from ws4redis.wire.close import CloseCode
from ws4redis.wire.frames import Opcode, encode_frame

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
PING = encode_frame(Opcode.PING, b"")
_READ, _WRITE = 1, 2
_VIOLATIONS: dict[int, str] = {CloseCode.MESSAGE_TOO_BIG: "limits.message"}
_AT_ONCE = struct.pack("ii", 1, 0)


class Handler(Protocol):
    """What a connection is used for; every method runs on the hub and must not block."""

    def on_open(self, connection: Connection) -> None:
        """The websocket is open; called once, before anything else."""

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


class Connection:
    """One open websocket.

    Args:
        sock: A connected socket on which the handshake is done; the connection owns it now.
        handler: What the connection is used for.
        registry: The connections of this process, with all that they share.
        inflates: Whether the client may compress its messages.
    """

    __slots__ = (
        "_awaits_pong",
        "_handler",
        "_outbox",
        "_paused_at",
        "_protocol",
        "_rate",
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

    def __init__(
        self, sock: socket.socket, handler: Handler, registry: Registry, *, inflates: bool = False
    ) -> None:
        self._sock = sock
        self._handler = handler
        self._registry = registry
        self._protocol = wire.Protocol(
            max_message_size=registry.options.max_message_size,
            max_fragments=registry.options.max_fragments,
            inflates=inflates,
        )
        self._outbox: Outbox | None = None
        self._writer: Any = None
        self._reader = registry.io(sock.fileno(), _READ)
        self.phase = Phase.OPEN
        self.place: Place | None = None
        self.since = registry.now()
        self.heard = True
        self._awaits_pong = False
        self.turns = (0, 0)
        self._rate: Rate | None = None
        self._paused_at = 0.0

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
        """Send encoded frames; what the socket does not take waits in the outbox.

        A client for which too much waits is disconnected. Nothing happens once the end has begun.
        """
        if self.phase is _OPEN:
            self._write(data)

    def _write(self, data: bytes) -> None:
        if self._outbox is not None:
            self._enqueue(data)
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose()
            return
        if sent != len(data):
            self._enqueue(data[sent:])

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Start the closing handshake; nothing is delivered any more."""
        if self.phase is Phase.OPEN and (words := self._handler.farewell(code, reason)):
            self._write(words)
        if self.phase is Phase.OPEN:
            self._end(Phase.CLOSING, code, reason)
            self._protocol.close(code, reason)
            self._send_control()

    def abort(self) -> None:
        """Drop the socket without a word."""
        self._lose()

    def ping(self) -> None:
        """Ask whether the peer is still there."""
        self._awaits_pong = True
        self.send(PING)

    @property
    def paused(self) -> bool:
        """Whether nothing is read from the client at present."""
        return not self._reader.active

    def pause(self) -> None:
        """Stop reading; the client's messages then wait in the network."""
        if not self.paused:
            self._paused_at = self._registry.now()
            self._reader.stop()

    def resume(self) -> None:
        """Read again after ``pause()``."""
        if self.phase is Phase.CLOSED or not self.paused:
            return
        now = self._registry.now()
        if self._rate is not None:
            self._rate.pardon(now - self._paused_at, now)
        self._reader.start(self._on_readable)
        # What came with the last read.
        if self._protocol.has_more:
            self._receive(b"")
        self.heard = True

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._receive(data)
        else:
            self._lose()

    def _receive(self, data: bytes) -> None:
        self.heard = True
        try:
            self._handle_all(self._protocol.receive_data(data))
            while self._protocol.has_more and not self.paused:
                self._handle_all(self._protocol.receive_data(b""))
        except Exception:
            logger.exception("The handler of a websocket failed; it is closed with 1011")
            self.close(CloseCode.INTERNAL_ERROR)
        self._send_control()

    def _handle_all(self, events: Iterable[wire.Event]) -> None:
        for event in events:
            self._handle(event)

    def _handle(self, event: wire.Event) -> None:
        if isinstance(event, wire.Message):
            if self.phase is Phase.OPEN and self._is_within_rate(event.payload, event.size):
                self._handler.on_message(event.payload, event.binary)
        elif isinstance(event, wire.Answers):
            self.send(event.data)
        elif isinstance(event, wire.Closed):
            if event.is_violation:
                self._registry.metrics.event(_VIOLATIONS.get(event.code, "connections.malformed"))
            self._end(Phase.LINGERING, event.code, event.reason)
        elif self._awaits_pong and isinstance(event, wire.Pong):
            # We asked for it, so it counts for nothing; most clients send nothing else, ever.
            self._awaits_pong = False
        elif self.phase is Phase.OPEN:
            self._is_within_rate(event.payload)

    def _is_within_rate(self, payload: bytes, size: int = 0) -> bool:
        """Return whether the client may send this; end it, if it may not and that is the rule."""
        options, now = self._registry.options, self._registry.now()
        if self._rate is None:
            self._rate = Rate(options.max_message_rate, options.max_byte_rate, now)
        if self._rate.take(max(len(payload), size), now):
            return True
        self._registry.metrics.event("limits.rate")
        if not options.drop_over_rate:
            self.close(CloseCode.POLICY_VIOLATION, "Too much was sent in too short a time.")
        return False

    def _send_control(self) -> None:
        if data := self._protocol.data_to_send():
            self._write(data)
        if self.phase is Phase.LINGERING and self._outbox is None:
            self._shut()

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
        logger.info(SILENT, self._address, self._registry.options.ping_interval)
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
        except BlockingIOError:
            return
        except OSError:
            self._lose()
            return
        self._registry.backlog.update(self, len(outbox))
        if not outbox:
            self._drop_outbox()
            if self.phase is Phase.LINGERING:
                self._shut()

    def _drop_outbox(self) -> None:
        if self._writer is not None:
            self._writer.stop()
            self._writer.close()
            self._registry.backlog.update(self, 0)
        self._writer = self._outbox = None

    def _shut(self) -> None:
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
