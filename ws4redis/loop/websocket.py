"""One open websocket: a connection that speaks RFC 6455."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ws4redis import flood
from ws4redis.loop.connection import Connection, Handler, Phase
from ws4redis.loop.rate import Rate
from ws4redis.wire import protocol as wire
from ws4redis.wire.close import CloseCode
from ws4redis.wire.frames import Opcode, encode_frame

if TYPE_CHECKING:
    from ws4redis.loop.registry import Registry

logger = flood.clients.guard(logging.getLogger(__name__))

PING = encode_frame(Opcode.PING, b"")
_VIOLATIONS: dict[int, str] = {CloseCode.MESSAGE_TOO_BIG: "limits.message"}


class Websocket(Connection):
    """One open websocket; its close frame waits for the peer's.

    Args:
        sock: A connected socket on which the handshake is done; the websocket owns it now.
        handler: What the websocket is used for.
        registry: The connections of this process, with all that they share.
        inflates: Whether the client may compress its messages.
    """

    __slots__ = ("_awaits_pong", "_paused_at", "_protocol", "_rate")

    def __init__(
        self, sock: socket.socket, handler: Handler, registry: Registry, *, inflates: bool = False
    ) -> None:
        super().__init__(sock, handler, registry)
        self._protocol = wire.Protocol(
            max_message_size=registry.options.max_message_size,
            max_fragments=registry.options.max_fragments,
            inflates=inflates,
        )
        self._awaits_pong = False
        self._rate: Rate | None = None
        self._paused_at = 0.0

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Start the closing handshake; nothing is delivered any more."""
        if self.phase is Phase.OPEN and (words := self._handler.farewell(code, reason)):
            self._write(words)
        if self.phase is Phase.OPEN:
            self._end(Phase.CLOSING, code, reason)
            self._protocol.close(code, reason)
            self._send_control()
            self._listen_for_the_end()

    def _listen_for_the_end(self) -> None:
        """Read on, whoever has paused it, as the peer's last word is to come."""
        if self._pausers and self.phase is not Phase.CLOSED:
            self._pausers = frozenset()
            self._read_again()

    def ping(self) -> None:
        """Ask whether the peer is still there."""
        self._awaits_pong = True
        self.send(PING)

    def beat(self) -> None:
        """Send the heartbeat."""
        self.send(self._registry.heartbeat)

    def _stop_reading(self) -> None:
        self._paused_at = self._registry.now()
        super()._stop_reading()

    def _read_again(self) -> None:
        now = self._registry.now()
        if self._rate is not None:
            self._rate.pardon(now - self._paused_at, now)
        super()._read_again()
        # What came with the last read.
        if self._protocol.has_more:
            self._receive(b"")

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
        self._shut_if_over()
