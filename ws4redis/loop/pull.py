"""A websocket whose messages are fetched one by one, by code in a greenlet or in another thread.

It is the handler of its websocket and the receiver of the channels it follows; both run on the hub.
Everything else may be called from the thread or greenlet of whoever fetches, too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import gevent.monkey

from ws4redis import flood
from ws4redis.exceptions import BusError
from ws4redis.loop.connection import Connection, Phase
from ws4redis.wire.close import CloseCode
from ws4redis.wire.outgoing import PLAIN, Encoding, Outgoing, get_encoding

Result = TypeVar("Result")

logger = flood.clients.guard(logging.getLogger(__name__))

QUEUE_LIMIT = 32
"""Messages that may wait to be fetched before nothing more is read from the client."""
MESSAGE_COST = 200
"""Bytes that a message takes besides its payload: many small ones take room, too."""
TOO_SLOW = "More came from channels than was fetched."
UNFETCHED = (
    "A view for %s does not fetch what its channels bring: %d bytes wait (WS4REDIS_OUTBOX_SIZE); "
    "its websocket is closed with 1013"
)

# Held for moments, and never while greenlets switch.
_allocate_lock = gevent.monkey.get_original("_thread", "allocate_lock")


class Fetched(NamedTuple):
    """One message that waited."""

    channel: str | None
    """Where it was published; None if the client sent it."""
    payload: bytes
    is_binary: bool


class Signal(Protocol):
    """What a fetcher waits for: an event of threads, or one of greenlets."""

    def set(self) -> object: ...
    def clear(self) -> object: ...
    def wait(self, timeout: float | None = None) -> bool: ...


class Loop(Protocol):
    """The part of the runner that is needed here."""

    def make_signal(self) -> Signal: ...
    def post(self, function: Callable[..., object], *args: Any) -> None: ...
    def call(self, function: Callable[[], Result]) -> Result: ...
    def wait_flushed(self, connection: Connection, then: Callable[[], object]) -> None: ...


class Pull:
    """What waits for one fetcher, and the way back to the client.

    Args:
        loop: The loop of this process.
        encoding: The form in which the client wants its messages.
        limit: Bytes of the client that may wait before nothing more is read from it, and of
            channels before the websocket is closed. Of what is sent, half as many wait for the
            client before the sender does.
    """

    encoding: Encoding = PLAIN

    __slots__ = (
        "_descriptor",
        "_forms",
        "_handed",
        "_is_paused",
        "_is_released",
        "_limit",
        "_lock",
        "_loop",
        "_of_channels",
        "_of_client",
        "_signal",
        "_unsent",
        "_waiting",
        "close_code",
        "close_reason",
        "connection",
    )

    def __init__(
        self,
        loop: Loop,
        encoding: Encoding,
        limit: int,
    ) -> None:
        self.connection: Connection | None = None
        self.close_code: int | None = None
        """Why the websocket ended; None while it is open."""
        self.close_reason = ""
        self._loop = loop
        self._signal = loop.make_signal()
        deflate = encoding.deflate
        self._forms = get_encoding(False, deflate), get_encoding(True, deflate)
        """Of text and of binary."""
        self._limit = limit
        self._waiting: deque[Fetched] | None = None
        """None before the first message: an empty one is as large as all else here."""
        self._lock = _allocate_lock()
        self._of_client = self._of_channels = 0
        """Bytes that wait; changed by several threads."""
        self._unsent = self._handed = 0
        """Bytes on their way to the client, as far as is known, and those its connection has."""
        self._is_paused = False
        self._descriptor: int | None = None
        self._is_released = False

    # On the hub.

    def on_open(self, connection: Connection) -> None:
        """The websocket is open; a client gets nothing that the fetcher has not sent."""
        self.connection = connection
        connection.hush()

    def on_message(self, payload: bytes, binary: bool) -> None:
        """Keep what the client sent; stop reading from it when too much waits."""
        with self._lock:
            self._of_client += len(payload)
        self._append(Fetched(None, payload, binary))
        if self._count() >= QUEUE_LIMIT or self._of_client >= self._limit:
            self._pause()

    def on_close(self, code: int, reason: str) -> None:
        """Tell the fetcher that nothing more comes."""
        self.close_code, self.close_reason = code, reason
        self._wake()

    def farewell(self, code: int, reason: str) -> bytes:
        """Say nothing before the close frame."""
        return b""

    def accept(self, channel: bytes, message: Outgoing) -> bytes:
        """Keep a message of a channel; end the websocket if nobody fetches them."""
        if message.is_notice or self.close_code is not None:
            return b""
        with self._lock:
            self._of_channels += len(message.payload) + MESSAGE_COST
        if self._of_channels > self._limit:
            self._give_up()
        else:
            self._append(Fetched(channel.decode(errors="replace"), message.payload, False))
        return b""

    def forget_returns(self) -> None:
        """Do nothing: it awaits none."""

    # Anywhere.

    @property
    def is_closed(self) -> bool:
        """Whether the websocket has ended, whatever still waits."""
        return self.close_code is not None

    def fetch(self, timeout: float | None = None) -> Fetched | None:
        """Return the next message, as soon as there is one; None if there will be no more.

        Args:
            timeout: Seconds to wait; None for as long as it takes.

        Raises:
            TimeoutError: None came in time.
        """
        while self._waiting or self.wait(timeout):
            try:
                return self._take()
            except IndexError:
                # Several fetch, and another one was faster.
                continue
        return None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is a message; return False when there will be no more.

        Raises:
            TimeoutError: None came in time.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not self._waiting:
            if self.is_closed:
                return False
            self._signal.clear()
            if self._is_ready():
                # It came before that, and others may wait for it, too.
                self._signal.set()
            elif not self._signal.wait(_left(until)) and until is not None:
                raise TimeoutError("No message came in time.")
        return True

    def send(self, payload: bytes, *, is_binary: bool) -> None:
        """Send a message to the client, unless it is gone; wait while it has too much to take."""
        frame = Outgoing(payload).frame(self._forms[is_binary])
        size = len(frame) + MESSAGE_COST
        while not self._reserve(size):
            # Where the loop has stopped, no websocket is open.
            with contextlib.suppress(BusError):
                self._loop.call(self._flush)
        self._loop.post(self._send, frame, size)

    def close(self, code: int, reason: str) -> None:
        """End the websocket, after all that was sent."""
        self._loop.post(self._close, code, reason)

    def fileno(self) -> int:
        """Return a descriptor that is readable while messages wait, and at the end.

        After ``release()`` it is -1.
        """
        with self._lock:
            if self._descriptor is None and not self._is_released:
                self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                if self._is_ready():
                    os.eventfd_write(self._descriptor, 1)
            return -1 if self._descriptor is None else self._descriptor

    def release(self) -> None:
        """Give up the descriptor; nothing is fetched any more."""
        with self._lock:
            self._is_released = True
            if self._descriptor is not None:
                descriptor, self._descriptor = self._descriptor, None
                os.close(descriptor)

    def _is_ready(self) -> bool:
        return bool(self._waiting) or self.is_closed

    def _pause(self) -> None:
        if self.connection is not None:
            self._is_paused = True
            self.connection.pause(self)
            # All may have been fetched before the fetcher could see that.
            self._resume()

    def _resume(self) -> None:
        if self.connection is not None and self._is_paused and self._has_room():
            self._is_paused = False
            self.connection.resume(self)

    def _count(self) -> int:
        return len(self._waiting or ())

    def _has_room(self) -> bool:
        return self._count() < QUEUE_LIMIT // 2 and self._of_client <= self._limit // 2

    def _give_up(self) -> None:
        if self.connection is not None:
            place = self.connection.place
            address = place.address if place is not None else "unknown"
            logger.warning(UNFETCHED, address, self._of_channels)
            self.connection.close(CloseCode.TRY_AGAIN_LATER, TOO_SLOW)

    def _append(self, message: Fetched) -> None:
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(message)
        self._wake()

    def _wake(self) -> None:
        self._signal.set()
        if self._descriptor is not None:
            self._mark()

    def _take(self) -> Fetched:
        if self._waiting is None:
            raise IndexError
        message = self._waiting.popleft()
        size = len(message.payload)
        with self._lock:
            if message.channel is None:
                self._of_client -= size
            else:
                self._of_channels -= size + MESSAGE_COST
        if self._descriptor is not None and not self._is_ready():
            self._mark()
        if self._is_paused and self._has_room():
            self._loop.post(self._resume)
        return message

    def _mark(self) -> None:
        """Make the descriptor readable if it has to be, else not."""
        with self._lock:
            if self._descriptor is None:
                return
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._descriptor)
            if self._is_ready():
                os.eventfd_write(self._descriptor, 1)

    def _reserve(self, size: int) -> bool:
        """Return whether a message may be sent now; one of any size may if nothing waits."""
        with self._lock:
            has_room = not self._unsent or self._unsent + size <= self._limit // 2
            if has_room:
                self._unsent += size
        return has_room or self.is_closed

    def _send(self, frame: bytes, size: int) -> None:
        self._handed += size
        if self.connection is not None:
            self.connection.send(frame)

    def _flush(self) -> None:
        """Wait until the client has taken what was sent, and let others run."""
        if self.connection is not None:
            self._loop.wait_flushed(self.connection, self._on_flushed)

    def _on_flushed(self) -> None:
        with self._lock:
            self._unsent -= self._handed
        self._handed = 0

    def _close(self, code: int, reason: str) -> None:
        if self.connection is not None and self.connection.phase is Phase.OPEN:
            self.connection.close(code, reason)


def _left(until: float | None) -> float | None:
    return None if until is None else max(0.0, until - time.monotonic())
