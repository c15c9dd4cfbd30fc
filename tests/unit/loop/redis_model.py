"""What Redis does for one link, in the order and at the times that a test chooses.

Real are the bytes of RESP3 on both ways. As in Redis, commands are executed one after the other,
and all that is to be read on the link stands in one order.
"""

from __future__ import annotations

import contextlib
import socket
from collections import defaultdict, deque
from dataclasses import dataclass

import hiredis
from gevent.event import Event

RECEIVE_SIZE = 1 << 20


@dataclass(eq=False, slots=True)
class Published:
    """One message on one channel."""

    number: int
    channel: bytes
    payload: bytes
    is_pushed: bool
    """Whether the link was to get it; no more if the link broke before."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a GET saw."""

    persisted: Published | None
    number: int
    """Of the next message of any channel."""


class RedisModel:
    """Redis and its one link."""

    def __init__(self) -> None:
        self.is_there = Event()
        self.is_there.set()
        self.cuts = 0
        self.log: list[Published] = []
        self.starts: defaultdict[bytes, list[Start]] = defaultdict(list)
        """What each GET on a channel saw, in their order; those of a broken link excluded."""
        self.subscribed: set[bytes] = set()
        self.answers: deque[tuple[bytes, Published | None]] = deque()
        self._values: dict[bytes, Published] = {}
        self._link: socket.socket | None = None
        self._reader = hiredis.Reader()
        self._commands: deque[list[bytes]] = deque()

    @property
    def is_linked(self) -> bool:
        """Whether there is a link."""
        return self._link is not None

    def connect(self) -> socket.socket:
        """Return the other end of a new link; wait for it while Redis is away."""
        self.is_there.wait()
        self._link, other = socket.socketpair()
        for end in (self._link, other):
            end.setblocking(False)
        self._reader = hiredis.Reader()
        return other

    def cut(self) -> None:
        """Lose the link with all that is on its way."""
        if self._link is None:
            return
        self.cuts += 1
        self._link.close()
        self._link = None
        for _, published in self.answers:
            if published is not None:
                published.is_pushed = False
        self.answers.clear()
        self._commands.clear()
        self.subscribed.clear()
        self.starts.clear()

    def publish(self, channel: bytes, payload: bytes, *, persisted: bool) -> None:
        """Do what a publisher asks for."""
        published = Published(len(self.log), channel, payload, channel in self.subscribed)
        self.log.append(published)
        if persisted:
            self._values[channel] = published
        if published.is_pushed:
            self.answers.append((_push(b"message", _bulk(channel), _bulk(payload)), published))

    def work(self, count: int | None = None) -> bool:
        """Execute commands of the link, all by default; return whether there were any."""
        self._receive()
        todo = len(self._commands) if count is None else min(count, len(self._commands))
        for _ in range(todo):
            self._execute(*self._commands.popleft())
        return bool(todo)

    def deliver(self, count: int | None = None) -> bool:
        """Write answers to the link as one piece, all by default; return whether there were any."""
        if self._link is None:
            return False
        todo = len(self.answers) if count is None else min(count, len(self.answers))
        data = b"".join(self.answers.popleft()[0] for _ in range(todo))
        self._link.sendall(data)
        return bool(data)

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._link is not None and (data := self._link.recv(RECEIVE_SIZE)):
                self._reader.feed(data)
                while command := self._reader.gets():
                    self._commands.append(command)

    def _execute(self, name: bytes, *arguments: bytes) -> None:
        if name in (b"SUBSCRIBE", b"UNSUBSCRIBE"):
            for channel in arguments:
                (self.subscribed.add if name == b"SUBSCRIBE" else self.subscribed.discard)(channel)
                self._answer(_push(name.lower(), _bulk(channel), b":1\r\n"))
        elif name == b"GET":
            self._get(*arguments)
        elif name == b"PUBLISH":
            self.publish(*arguments, persisted=False)
            self._answer(b":1\r\n")
        elif name == b"EVAL":
            _, _, channel, payload, _ = arguments
            self.publish(channel, payload, persisted=True)
            self._answer(b":1\r\n")
        else:
            assert name == b"PING", name
            self._answer(b"+PONG\r\n")

    def _get(self, channel: bytes) -> None:
        persisted = self._values.get(channel)
        self.starts[channel].append(Start(persisted, len(self.log)))
        self._answer(b"_\r\n" if persisted is None else _bulk(persisted.payload))

    def _answer(self, data: bytes) -> None:
        self.answers.append((data, None))


def _bulk(data: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(data), data)


def _push(kind: bytes, *items: bytes) -> bytes:
    return b">%d\r\n" % (1 + len(items)) + _bulk(kind) + b"".join(items)
