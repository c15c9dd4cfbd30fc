"""The websocket as a handler sees it."""

from __future__ import annotations

import enum
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from ws4redis import flood
from ws4redis.exceptions import ConnectionClosed
from ws4redis.views.handlers.driving import Done, DoneSelf
from ws4redis.views.socket import Data, Event, Websocket
from ws4redis.wire.close import CloseCode

logger = flood.clients.guard(logging.getLogger(__name__))

KEPT = 32
"""Messages of a client that are kept while a handler waits for channels only."""
KEPT_SIZE = 2**20
"""Bytes, or characters, of them all together; a single message may be of any size."""


class MsgType(enum.IntEnum):
    """What a message is; the names are those of aiohttp, today's and those of then."""

    text = TEXT = 1
    binary = BINARY = 2
    close = CLOSE = 8
    # Nobody gets these two: handlers only ask whether they did.
    closed = CLOSED = 257
    error = ERROR = 258


class Message(DoneSelf):
    """What a client sent; or, of the type ``close``, that its websocket has ended.

    Args:
        tp: Its type.
        data: A str or bytes; of ``close``, the code.
        extra: Of ``close``, the reason.
    """

    def __init__(self, tp: MsgType, data: Any, extra: str = "") -> None:
        self.tp = tp
        self.data = data
        self.extra = extra

    @property
    def type(self) -> MsgType:
        """The same as ``tp``."""
        return self.tp

    def __repr__(self) -> str:
        return f"Message(tp={self.tp.name}, data={self.data!r}, extra={self.extra!r})"


class HandlerSocket:
    """The websocket of a handler; all methods are for the handler's own thread or greenlet.

    Whatever waits, such as ``receive()``, meanwhile hands the messages of channels to the
    callbacks of the handler's manager.

    Args:
        websocket: The open websocket, or the one that opens when it is used.
        request: Its handshake, with ``user`` and all that middleware has set.
    """

    def __init__(self, websocket: Websocket, request: Any) -> None:
        self.websocket = websocket
        self.request = request
        self.on_event: Callable[[str, Data], None] = lambda channel, data: None
        """Takes the messages of channels."""
        self._events = websocket.events()
        self._kept: deque[Data] = deque()
        self._is_calling = False
        self._has_ended = False
        self._was_told = False
        self._has_dropped = False

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return bool(self.websocket.closed)

    @property
    def close_code(self) -> int | None:
        """Why it ended; None while it has not."""
        return self.websocket.close_code

    def receive(self) -> Message:
        """Wait for the next message of the client.

        Returns:
            It; one of the type ``close`` once when the websocket has ended.

        Raises:
            ConnectionClosed: That was received already.
            RuntimeError: A callback calls this.
        """
        self.wait_until(lambda: bool(self._kept))
        if self._kept:
            data = self._kept.popleft()
            return Message(MsgType.text if isinstance(data, str) else MsgType.binary, data)
        if self._was_told:
            raise ConnectionClosed("The websocket has ended.")
        self._was_told = True
        return Message(MsgType.close, self.close_code, self.websocket.close_reason)

    def send_str(self, data: str) -> Done[None]:
        """Send a text.

        Raises:
            ConnectionClosed: The websocket has ended.
            TypeError: It is none.
        """
        self._see_open()
        if not isinstance(data, str):
            raise TypeError(f"A text must be str, got {type(data).__name__}.")
        self.websocket.send(data)
        return Done(None)

    def send_bytes(self, data: bytes) -> Done[None]:
        """Send a binary message.

        Raises:
            ConnectionClosed: The websocket has ended.
            TypeError: It is none.
        """
        self._see_open()
        self.websocket.send(bytes(memoryview(data)))
        return Done(None)

    def close(self, *, code: int = CloseCode.NORMAL, message: str | bytes = "") -> Done[None]:
        """End the websocket, after all that was sent; nothing happens if it has ended."""
        reason = message.decode() if isinstance(message, bytes) else message
        self.websocket.close(code, reason)
        return Done(None)

    def _see_open(self) -> None:
        """Raise first if it has ended: what a handler then sends is often no message at all."""
        if self.closed:
            raise ConnectionClosed("The websocket has ended.")

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Hand out what comes until a condition holds or the websocket has ended.

        Raises:
            RuntimeError: A callback calls this.
        """
        if self._is_calling:
            raise RuntimeError("A callback can't wait: only its handler receives.")
        while not condition() and not self._has_ended:
            event = next(self._events, None)
            if event is None:
                self._has_ended = True
            else:
                self._take(event)

    def _take(self, event: Event) -> None:
        if event.channel is None:
            self._keep(event.data)
            return
        self._is_calling = True
        try:
            self.on_event(event.channel, event.data)
        finally:
            self._is_calling = False

    def _keep(self, data: Data) -> None:
        size = sum(map(len, self._kept))
        if len(self._kept) < KEPT and (not size or size + len(data) <= KEPT_SIZE):
            self._kept.append(data)
        elif not self._has_dropped:
            # Not to read from it would keep us from seeing it leave.
            self._has_dropped = True
            logger.warning(
                "A handler waits for channels and does not receive: messages of its client beyond "
                "%d, or %d bytes, are dropped",
                *(KEPT, KEPT_SIZE),
            )
