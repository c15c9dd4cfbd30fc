"""What Redis keeps of channels with a history, for any number of links, and what truly happened.

The scripts are done here in Python, step by step; ``tests/integration/test_history.py`` tests the
Lua. Time is counted in periods, each as long as a stream is kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tests.unit.loop.redis_model import LinkModel, bulk
from ws4redis.history import Position
from ws4redis.scripts import PUBLISH, READ, Script

LIVE = b"ws4redis:live:"


@dataclass(eq=False, slots=True)
class Message:
    """One message on a channel with a history."""

    channel: bytes
    payload: bytes
    position: Position
    parent: Message | None
    """The one that it follows."""
    is_gone: bool = False
    """Whether a stream has lost it."""

    def __repr__(self) -> str:
        return f"<{self.payload[:9]!r} on {self.channel.decode()} at {self.position}>"

    def lineage(self) -> Iterator[Message | None]:
        """Yield it and those before it, and None for the beginning."""
        message: Message | None = self
        while message is not None:
            yield message
            message = message.parent
        yield None


def between(first: Message | None, last: Message | None) -> list[Message] | None:
    """Return what came after a message, up to another one; None if that is not after it.

    Args:
        first: None for the beginning.
        last: None for the beginning.
    """
    found: list[Message] = []
    for one in (None,) if last is None else last.lineage():
        if one is first:
            return found[::-1]
        if one is None:
            break
        found.append(one)
        if first is None and one.position.offset == 1:
            return found[::-1]
    return None


@dataclass(slots=True)
class Channel:
    """What Redis knows of one channel."""

    epoch: str = ""
    top: int = 0
    server: int = 0
    past: tuple[Position, ...] = ()
    stream: tuple[Message, ...] = ()
    head: Message | None = None
    """The last message, also when Redis has forgotten it."""
    written: int = 0
    touched: int = 0
    """When somebody asked for it, or wrote it."""

    def drop(self, kept: int) -> None:
        """Lose all messages but the last ones."""
        for message in self.stream[: len(self.stream) - kept]:
            message.is_gone = True
        self.stream = self.stream[len(self.stream) - kept :]

    def knows(self, since: Position) -> bool:
        """Return whether a position was one of its own."""
        known = (*self.past, Position(self.epoch, self.top))
        return any(since.epoch == one.epoch and since.offset <= one.offset for one in known)


@dataclass(slots=True)
class Data:
    """All that Redis holds."""

    channels: dict[bytes, Channel] = field(default_factory=dict)
    values: dict[bytes, bytes] = field(default_factory=dict)
    once: dict[bytes, Position] = field(default_factory=dict)
    id: int = 0
    """Names the data, once somebody has asked for a channel without messages."""

    def channel(self, name: bytes) -> Channel:
        return self.channels.setdefault(name, Channel())

    def copy(self) -> Data:
        channels = {name: replace(one) for name, one in self.channels.items()}
        return Data(channels, dict(self.values), dict(self.once), self.id)


class Server:
    """Redis, its replica, and its links."""

    def __init__(self) -> None:
        self.data = Data()
        self.replica = Data()
        self.id = 1
        self.now = 1
        self.scripts: set[bytes] = set()
        self.links: list[HistoryLink] = []
        self.messages: dict[tuple[bytes, str], Message] = {}
        """All that were ever published, by channel and position."""
        self._lasts: dict[tuple[bytes, str], Message] = {}
        """The last message of each channel and epoch."""
        self.kept: dict[bytes, Message] = {}
        """The same by payload; no two are alike."""
        self.plain: dict[bytes, tuple[int, bytes]] = {}
        """Numbers and channels of all that was published without a history, by payload."""
        self.forgotten: set[tuple[bytes, str]] = set()
        """Channels and epochs of positions that have expired."""
        self._ids = itertools.count(1)
        self.size = 0
        """Bytes of all payloads."""

    def payload(self, size: int = 0) -> bytes:
        """Return a payload that is like no other."""
        return b"%d" % (len(self.kept) + len(self.plain)) + b"." * size

    def publish(self, channel: bytes, payload: bytes, *, persisted: bool) -> None:
        """Publish without a history."""
        assert payload not in self.plain, "It is published twice."
        self.plain[payload] = (len(self.plain), channel)
        self.size += len(payload)
        self._persist(channel, payload, persisted)
        self._push(channel, payload)

    def keep(
        self, name: bytes, payload: bytes, *, persisted: bool, epoch: str, once: bytes = b""
    ) -> Position:
        """Do what ``publish.lua`` does."""
        if (known := self.data.once.get(once)) is not None:
            return known
        channel = self.data.channel(name)
        if not channel.epoch:
            channel.epoch, channel.server, channel.top, channel.past = epoch, self.id, 0, ()
            channel.drop(0)
        elif channel.server != self.id:
            channel.past = (Position(channel.epoch, channel.top), *channel.past)
            channel.epoch, channel.server = epoch, self.id
        channel.top += 1
        position = Position(channel.epoch, channel.top)
        assert payload not in self.kept, "It is published twice."
        message = Message(name, payload, position, channel.head)
        self._lasts[name, position.epoch] = message
        self.messages[name, str(position)] = self.kept[payload] = channel.head = message
        channel.stream += (message,)
        channel.written = channel.touched = self.now
        self.size += len(payload)
        self._persist(name, payload, persisted)
        if once:
            self.data.once[once] = position
        self._push(LIVE + name, str(position).encode() + b" " + payload)
        return position

    def read(
        self, name: bytes, since: Position, count: int
    ) -> tuple[Position, bool, list[Message]]:
        """Do what ``read.lua`` does."""
        channel = self.data.channel(name)
        is_known = self._is_beginning(since)
        if not channel.epoch:
            self.data.id = self.data.id or next(self._ids)
            return Position(f"*{self.now}x{self.data.id:x}", 0), is_known, []
        channel.touched = self.now
        position = Position(channel.epoch, channel.top)
        if not is_known and not channel.knows(since):
            return position, False, []
        entries = [one for one in channel.stream if one.position.offset > since.offset][:count]
        offsets = [one.position.offset for one in entries]
        expected = list(range(since.offset + 1, min(since.offset + count, channel.top) + 1))
        return (position, True, entries) if offsets == expected else (position, False, [])

    def at(self, name: bytes, position: Position) -> Message | None:
        """Return the message at a position; None at the beginning.

        What was read later has the epoch of the reading.

        Raises:
            KeyError: There never was one.
        """
        if position.is_beginning:
            return None
        if (message := self.messages.get((name, str(position)))) is not None:
            return message
        last = self._lasts[name, position.epoch]
        for one in last.lineage():
            if one is not None and one.position.offset == position.offset:
                return one
        raise KeyError(position)

    def has_forgotten(self, name: bytes, position: Position) -> bool:
        """Return whether Redis has lost a position, but nothing that has come since then."""
        if position.is_beginning:
            return not self._is_beginning(position)
        return (name, position.epoch) in self.forgotten

    def pass_time(self) -> None:
        """Let so much time pass as a stream is kept without a message."""
        self.now += 1
        for name, channel in self.data.channels.items():
            if self.now > channel.written:
                channel.drop(0)
            if channel.epoch and self.now > channel.touched + 1:
                epochs = (channel.epoch, *(one.epoch for one in channel.past))
                self.forgotten.update((name, epoch) for epoch in epochs)
                channel.epoch = ""

    def fail_over(self, data: Data) -> None:
        """Go on as another server, with other data."""
        for name, channel in self.data.channels.items():
            left = set(map(id, data.channel(name).stream))
            for message in channel.stream:
                message.is_gone = message.is_gone or id(message) not in left
        self.data, self.replica = data, data.copy()
        self.scripts.clear()
        self.id += 1

    def _is_beginning(self, since: Position) -> bool:
        if not since.is_beginning or since.offset:
            return False
        begun, _, asked = since.epoch[1:].partition("x")
        return int(begun) <= self.now <= int(begun) + 1 and int(asked, 16) == self.data.id

    def _persist(self, channel: bytes, payload: bytes, persisted: bool) -> None:
        if persisted:
            self.data.values[channel] = payload

    def _push(self, name: bytes, payload: bytes) -> None:
        for link in self.links:
            if name in link.subscribed:
                link.push(name, payload, name)


class HistoryLink(LinkModel):
    """The link of one process."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        server.links.append(self)

    def publish(self, channel: bytes, payload: bytes, *, persisted: bool) -> None:
        """Do what a client asks for on a channel without a history."""
        self._server.publish(channel, payload, persisted=persisted)

    def lose(self, last: bool) -> None:
        """Lose a message that is on its way, as with a proxy that changes its server."""
        lost = [one for one in self.answers if one[1] is not None and one[1].startswith(LIVE)]
        if lost:
            self.answers.remove(lost[-1 if last else 0])

    def _get(self, key: bytes) -> None:
        self._answer(_value(self._server.data.values.get(key)))

    def _evalsha(self, sha: bytes, *arguments: bytes) -> None:
        if sha in self._server.scripts:
            self._run(sha, *arguments)
        else:
            self._answer(b"-NOSCRIPT No matching script.\r\n")

    def _eval(self, source: bytes, *arguments: bytes) -> None:
        script: Script | None = next((one for one in (PUBLISH, READ) if one.source == source), None)
        if script is None:
            _, channel, payload, _ = arguments
            self.publish(channel, payload, persisted=True)
            self._answer(b":1\r\n")
        else:
            self._server.scripts.add(script.sha.encode())
            self._run(script.sha.encode(), *arguments)

    def _run(self, sha: bytes, count: bytes, *arguments: bytes) -> None:
        keys, rest = arguments[: int(count)], arguments[int(count) :]
        (self._keep if sha == PUBLISH.sha.encode() else self._read)(keys, *rest)

    def _keep(
        self, keys: tuple[bytes, ...], payload: bytes, persist: bytes, epoch: bytes, *_: bytes
    ) -> None:
        position = self._server.keep(
            keys[2], payload, persisted=persist != b"0", epoch=epoch.decode()
        )
        self._answer(b"*3\r\n:1\r\n" + bulk(str(position).encode()) + b":0\r\n")

    def _read(
        self, keys: tuple[bytes, ...], epoch: bytes, offset: bytes, count: bytes, keep: bytes
    ) -> None:
        since = Position(epoch.decode(), int(offset))
        position, is_whole, messages = self._server.read(keys[2], since, int(count))
        last = None if epoch else self._server.data.values.get(keys[2])
        items = [bulk(str(position).encode()), b":%d\r\n" % is_whole, _value(last)]
        for message in messages:
            items += [bulk(b"%d-0" % message.position.offset), bulk(message.payload)]
        self._answer(b"*%d\r\n" % len(items) + b"".join(items))


def _value(value: bytes | None) -> bytes:
    return b"_\r\n" if value is None else bulk(value)
