"""What Redis does for one link, in the order and at the times that a test chooses.

Real are the bytes of RESP3 on both ways. As in Redis, commands are executed one after the other,
and all that is to be read on the link stands in one order.
"""

from __future__ import annotations

import contextlib
import socket
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any

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


class LinkModel:
    """The far end of one link; what Redis is behind it, a subclass says."""

    def __init__(self) -> None:
        self.is_there = Event()
        self.is_there.set()
        self.cuts = 0
        self.subscribed: set[bytes] = set()
        self.answers: deque[tuple[bytes, Any]] = deque()
        """What is still to be written, and what a subclass has to know of each."""
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
        self._forget()

    def work(self, count: int | None = None) -> bool:
        """Execute commands of the link, all by default; return whether there were any."""
        self._receive()
        todo = len(self._commands) if count is None else min(count, len(self._commands))
        for _ in range(todo):
            self._execute(*self._commands.popleft())
        return bool(todo)

    def deliver(self, count: int | None = None, size: int | None = None) -> bool:
        """Write answers to the link, all by default; return whether anything was written.

        Args:
            count: Answers to write.
            size: Bytes to write of the next one, which is cut into two then.
        """
        todo = len(self.answers) if count is None else min(count, len(self.answers))
        done = 0
        with contextlib.suppress(BlockingIOError):
            while self._link is not None and done < todo:
                data, about = self.answers[0]
                sent = self._link.send(data[:size])
                done += 1
                if sent == len(data):
                    self.answers.popleft()
                else:
                    self.answers[0] = (data[sent:], about)
                    break
        return done > 0

    def push(self, channel: bytes, payload: bytes, about: Any) -> None:
        """Send a message, if the link has subscribed it."""
        self.answers.append((push_of(b"message", bulk(channel), bulk(payload)), about))

    def _forget(self) -> None:
        """Forget what belonged to the link."""
        self.answers.clear()
        self._commands.clear()
        self.subscribed.clear()

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._link is not None and (data := self._link.recv(RECEIVE_SIZE)):
                self._reader.feed(data)
                while command := self._reader.gets():
                    self._commands.append(command)

    def _execute(self, name: bytes, *arguments: bytes) -> None:
        getattr(self, f"_{name.decode().lower()}")(*arguments)

    def _subscribe(self, *channels: bytes) -> None:
        for channel in channels:
            self.subscribed.add(channel)
            self._answer(push_of(b"subscribe", bulk(channel), b":1\r\n"))

    def _unsubscribe(self, channel: bytes) -> None:
        self.subscribed.discard(channel)
        self._answer(push_of(b"unsubscribe", bulk(channel), b":1\r\n"))

    def _publish(self, channel: bytes, payload: bytes) -> None:
        self.publish(channel, payload, persisted=False)
        self._answer(b":1\r\n")

    def _ping(self) -> None:
        self._answer(b"+PONG\r\n")

    def _answer(self, data: bytes) -> None:
        self.answers.append((data, None))

    def publish(self, channel: bytes, payload: bytes, *, persisted: bool) -> None:
        """Do what a publisher asks for."""
        raise NotImplementedError


class RedisModel(LinkModel):
    """Redis and its one link."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Published] = []
        self.starts: defaultdict[bytes, list[Start]] = defaultdict(list)
        """What each GET on a channel saw, in their order; those of a broken link excluded."""
        self._values: dict[bytes, Published] = {}

    def publish(self, channel: bytes, payload: bytes, *, persisted: bool) -> None:
        """Do what a publisher asks for."""
        published = Published(len(self.log), channel, payload, channel in self.subscribed)
        self.log.append(published)
        if persisted:
            self._values[channel] = published
        if published.is_pushed:
            self.push(channel, payload, published)

    def _forget(self) -> None:
        for _, published in self.answers:
            if published is not None:
                published.is_pushed = False
        self.starts.clear()
        super()._forget()

    def _eval(self, source: bytes, keys: bytes, *arguments: bytes) -> None:
        channel, payload, _ = arguments
        self.publish(channel, payload, persisted=True)
        self._answer(b":1\r\n")

    def _get(self, channel: bytes) -> None:
        persisted = self._values.get(channel)
        self.starts[channel].append(Start(persisted, len(self.log)))
        self._answer(b"_\r\n" if persisted is None else bulk(persisted.payload))


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(data), data)


def push_of(kind: bytes, *items: bytes) -> bytes:
    return b">%d\r\n" % (1 + len(items)) + bulk(kind) + b"".join(items)
