"""The websocket as a view sees it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol

from django.db import close_old_connections
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from django.http import HttpRequest

from ws4redis.exceptions import BadMessage, ChannelError, ConnectionClosed
from ws4redis.loop.pull import Fetched
from ws4redis.redis_store import RedisMessage, to_json
from ws4redis.wire.close import CloseCode, may_be_received

Data = str | bytes


_OWN = re.compile(
    "connection|upgrade|content-length|transfer-encoding"
    "|sec-websocket-(accept|extensions|protocol|version)",
    re.IGNORECASE,
)
"""Headers of an answer that are no view's."""


class Event(NamedTuple):
    """A message, and where it came from."""

    channel: str | None
    """The channel of Redis; None if the client sent it."""
    data: Data

    def json(self, kind: type = object) -> Any:
        """Return what the message says as JSON.

        Args:
            kind: What it must be, such as ``dict``.

        Raises:
            BadMessage: It is no JSON, or not of that kind. If the view lets it pass, the websocket
                is closed with 1007.
        """
        try:
            value = json.loads(self.data)
        except (ValueError, RecursionError) as error:
            raise BadMessage("It is no JSON.") from error
        if not isinstance(value, kind):
            raise BadMessage(f"It is no {kind.__name__}, but {type(value).__name__}.")
        return value


class Line(Protocol):
    """What a websocket needs of the loop, or of a test."""

    @property
    def is_closed(self) -> bool: ...
    @property
    def close_code(self) -> int | None: ...
    @property
    def close_reason(self) -> str: ...
    def fetch(self, timeout: float | None = None) -> Fetched | None: ...
    def wait(self, timeout: float | None = None) -> bool: ...
    def send(self, payload: bytes, *, is_binary: bool) -> None: ...
    def close(self, code: int, reason: str) -> None: ...
    def fileno(self) -> int: ...
    def subscribe(self, channels: tuple[str, ...]) -> None: ...
    def unsubscribe(self, channels: tuple[str, ...]) -> None: ...
    def publish(self, channel: str, payload: bytes) -> int: ...


class Upgrade(Protocol):
    """Answers the handshake."""

    def accept(
        self, request: HttpRequest, subprotocol: str | None, headers: Mapping[str, str]
    ) -> Line:
        """Send the 101 and return the open line.

        Raises:
            ConnectionClosed: The client is gone, or the loop takes no more.
        """

    def reach_redis(self) -> None:
        """See that Redis is there.

        Raises:
            BusError: It is away.
        """


class _Used(threading.local):
    """What this thread, or greenlet, has used: to look at all its databases takes a while."""

    databases = False


_used = _Used()


@receiver(connection_created, dispatch_uid="ws4redis.views")
def _note_database(**details: Any) -> None:
    _used.databases = True


class _Closed:
    """Whether a websocket has ended, as an attribute and as a call."""

    __slots__ = ("_websocket",)

    def __init__(self, websocket: Websocket) -> None:
        self._websocket = websocket

    def __bool__(self) -> bool:
        return self._websocket._is_closed

    __call__ = __bool__


def _name(channel: Any) -> str:
    if not isinstance(channel, str) or not channel:
        raise ChannelError(f"A channel is named by a text, got {channel!r}.")
    try:
        channel.encode()
    except UnicodeEncodeError as error:
        raise ChannelError(f"No channel has the name {channel!r}.") from error
    return channel


class Websocket:
    """One websocket in the hands of a view.

    It is opened when it is first used, or by ``accept()``. Until then, a response of the view, or
    of a middleware, is an ordinary HTTP answer. It is closed when the view ends. All methods may
    be called from any thread.

    Args:
        request: The handshake.
        upgrade: Answers it.
        subprotocols: What the client offers, the preferred one first.
    """

    def __init__(
        self, request: HttpRequest, upgrade: Upgrade, subprotocols: tuple[str, ...] = ()
    ) -> None:
        self._request = request
        self._upgrade = upgrade
        self._line: Line | None = None
        self._opening: Any = threading.Lock()
        """Held while it is opened; None afterwards."""
        self._is_ending = False
        """Whether the view has closed it."""
        self.received = 0
        """How many messages the view has taken."""
        self.subprotocols = subprotocols
        """What the client offers."""
        self.usual_subprotocol: str | None = None
        """What is chosen if the view chooses none."""
        self.subprotocol: str | None = None
        """What was chosen."""
        self.is_gone = False
        """Whether it was to be opened, and the client was not there any more."""

    @property
    def path(self) -> str:
        """That of the request."""
        return self._request.path

    @property
    def origin(self) -> str | None:
        """Where the page is from that has opened it."""
        return self._request.META.get("HTTP_ORIGIN")

    @property
    def headers(self) -> Mapping[str, str]:
        """Those of the request."""
        return self._request.headers

    @property
    def closed(self) -> _Closed:
        """Whether it has ended; may be called, too. False before it was opened."""
        return _Closed(self)

    @property
    def is_open(self) -> bool:
        """Whether it was opened, even if it has ended since."""
        return self._line is not None

    @property
    def close_code(self) -> int | None:
        """Why it ended; None while it has not."""
        return self._line.close_code if self._line is not None else None

    @property
    def close_reason(self) -> str:
        """What was said at the end."""
        return self._line.close_reason if self._line is not None else ""

    @property
    def handler(self) -> Websocket:
        """This; ``handler.socket.fileno()`` is a habit of other libraries."""
        return self

    socket = handler

    def accept(
        self, subprotocol: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Open the websocket; nothing happens if it is open.

        Args:
            subprotocol: One of those that the client offers.
            headers: Further headers of the answer.

        Raises:
            ValueError: The client does not offer that subprotocol, or a header is one of ours.
            ConnectionClosed: The client is gone.
        """
        if self._line is not None:
            return
        if wrong := [name for name in headers or () if _OWN.fullmatch(name)]:
            raise ValueError(f"The handshake has its own header {wrong[0]!r}.")
        if subprotocol is not None and subprotocol not in self.subprotocols:
            raise ValueError(
                f"The client does not offer the subprotocol {subprotocol!r}, but "
                f"{', '.join(self.subprotocols) or 'none'}."
            )
        # Another thread may use it for the first time, too.
        with self._opening or nullcontext():
            if self._line is None:
                self._open(subprotocol or self.usual_subprotocol, headers or {})

    def receive(self, timeout: float | None = None) -> Data | None:
        """Return the next message, of the client or a channel; None when the websocket has ended.

        Before it waits, connections to databases that are old by ``CONN_MAX_AGE`` are closed.

        Args:
            timeout: Seconds to wait; None for as long as it takes.

        Returns:
            A text as str, anything else as bytes.

        Raises:
            TimeoutError: None came in time.
        """
        event = self._next(timeout)
        return None if event is None else event.data

    def __iter__(self) -> Iterator[Data]:
        """Yield messages until the websocket has ended."""
        while (event := self._next(None)) is not None:
            yield event.data

    def events(self) -> Iterator[Event]:
        """Yield messages, each with where it came from, until the websocket has ended."""
        while (event := self._next(None)) is not None:
            yield event

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is something to receive; return False when the websocket has ended.

        Raises:
            TimeoutError: Nothing came in time.
        """
        line = self._open_line()
        if _used.databases:
            close_old_connections()
        return line.wait(timeout)

    def receive_json(self, timeout: float | None = None, kind: type = object) -> Any:
        """Return what the next message says as JSON; None when the websocket has ended.

        Args:
            timeout: Seconds to wait; None for as long as it takes.
            kind: What it must be, such as ``dict``.

        Raises:
            TimeoutError: None came in time.
            BadMessage: See ``Event.json``.
        """
        event = self._next(timeout)
        return None if event is None else event.json(kind)

    def send(self, data: Data) -> None:
        """Send a message: str as text, bytes as binary.

        Raises:
            ConnectionClosed: The websocket has ended.
            TypeError: It is neither.
        """
        if not isinstance(data, (str, bytes, bytearray, memoryview)):
            raise TypeError(
                f"A message must be str or bytes, got {type(data).__name__}; see send_json()."
            )
        line = self._line or self._open_line()
        if line.is_closed or self._is_ending:
            raise ConnectionClosed("The websocket has ended.")
        is_text = isinstance(data, str)
        line.send(data.encode() if isinstance(data, str) else bytes(data), is_binary=not is_text)

    def send_json(self, value: Any) -> None:
        """Send a value as JSON, as Django writes it.

        Raises:
            ConnectionClosed: The websocket has ended.
            TypeError: It has something that JSON does not know.
            ValueError: It has a number that JSON does not know, such as infinity.
        """
        self.send(to_json(value))

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """End the websocket, after all that was sent; nothing happens if it has ended.

        Raises:
            TypeError: The reason is no text.
            ValueError: The code may not be sent; 3000 to 4999 are free for use.
        """
        if not may_be_received(code):
            raise ValueError(f"The close code {code} may not be sent.")
        if not isinstance(reason, str):
            raise TypeError(f"A reason must be str, got {type(reason).__name__}.")
        line = self._open_line()
        if not line.is_closed:
            self._is_ending = True
            line.close(code, reason)

    def fileno(self) -> int:
        """Return a descriptor for ``select``: readable while messages wait, and at the end.

        It is not the socket, which the loop reads from.
        """
        return self._open_line().fileno()

    def subscribe(self, *channels: str) -> None:
        """Receive the messages of channels, too; they are live when this returns.

        Args:
            channels: Their whole names in Redis.

        Raises:
            BusError: Redis is away.
            ChannelError: Such a channel can't be.
        """
        names = tuple(map(_name, channels))
        if self._line is None:
            # While it can still be refused.
            self._upgrade.reach_redis()
        self._open_line().subscribe(names)

    def unsubscribe(self, *channels: str) -> None:
        """Receive the messages of channels no more."""
        self._open_line().unsubscribe(tuple(map(_name, channels)))

    def publish(self, channel: str, message: Any) -> int:
        """Publish a message on a channel.

        Args:
            channel: Its whole name in Redis.
            message: As for ``RedisPublisher``.

        Returns:
            How many processes took it.

        Raises:
            BusError: Redis is away.
            ChannelError: Such a channel can't be.
            TypeError: No message can be made of it.
        """
        return self._open_line().publish(_name(channel), RedisMessage(message))

    def _open(self, subprotocol: str | None, headers: Mapping[str, str]) -> None:
        self.subprotocol = subprotocol
        try:
            self._line = self._upgrade.accept(self._request, subprotocol, headers)
        except ConnectionClosed:
            self.is_gone = True
            raise
        self._opening = None

    @property
    def _is_closed(self) -> bool:
        return self._is_ending or (self._line is not None and self._line.is_closed)

    def _open_line(self) -> Line:
        self.accept()
        assert self._line is not None, "accept() opens it or raises"
        return self._line

    def _next(self, timeout: float | None) -> Event | None:
        line = self._line or self._open_line()
        if _used.databases:
            close_old_connections()
        fetched = line.fetch(timeout)
        if fetched is None:
            return None
        self.received += 1
        data: Data = fetched.payload
        if not fetched.is_binary:
            # Of channels anything may come; of clients, text is UTF-8.
            try:
                data = fetched.payload.decode()
            except UnicodeDecodeError:
                data = fetched.payload
        return Event(fetched.channel, data)
