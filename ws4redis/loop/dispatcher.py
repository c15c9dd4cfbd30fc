"""From channel to the local websockets: encodes each message once, writes each socket once.

The map from channel to receivers is the truth; the bus follows it: the first receiver of a channel
subscribes it, the last one to go unsubscribes it. Everything here runs on the hub.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Protocol

from ws4redis.loop.connection import Connection
from ws4redis.loop.handover import Delivery
from ws4redis.metrics import Metrics
from ws4redis.wire.protocol import encode_message

SLICE = 500
"""Sockets written before the hub may do something else; about two milliseconds."""


class Receiver(Protocol):
    """Takes messages one by one, as long as they can't simply be handed to a connection."""

    @property
    def connection(self) -> Connection | None:
        """Where the messages end up; None if there is none yet."""

    def accept(self, channel: bytes, payload: bytes) -> bytes:
        """Look at one message; return the frames to send for it now, which may be none."""

    def forget_returns(self) -> None:
        """Expect none of its own messages any more."""


class Follower:
    """The local receivers of one channel.

    ``text`` gets a message as text wherever it is valid UTF-8, ``binary`` always as binary, and
    ``careful`` holds those that have to look at each message.
    """

    __slots__ = ("binary", "careful", "text")

    def __init__(self) -> None:
        self.text: set[Connection] | frozenset[Connection] = frozenset()
        self.binary: set[Connection] | frozenset[Connection] = frozenset()
        self.careful: set[Receiver] | frozenset[Receiver] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.text or self.binary or self.careful)


class Dispatcher:
    """Hands messages from the bus to the local websockets.

    Args:
        subscribe: Called with a channel that got its first receiver.
        unsubscribe: Called with a channel that lost its last one.
        pause: Lets the hub do something else; called between slices.
        metrics: Where events are counted.
    """

    def __init__(
        self,
        subscribe: Callable[[bytes], None],
        unsubscribe: Callable[[bytes], None],
        pause: Callable[[], None],
        metrics: Metrics,
    ) -> None:
        self._followers: dict[bytes, Follower] = {}
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._pause = pause
        self._metrics = metrics
        self._written = 0

    @property
    def channels(self) -> Iterable[bytes]:
        """The channels that have receivers in this process."""
        return self._followers.keys()

    def join(self, channel: bytes, receiver: Receiver) -> None:
        """Let a receiver look at each message of a channel."""
        follower = self._followers.get(channel)
        if follower is None:
            follower = self._followers[channel] = Follower()
            self._subscribe(channel)
        follower.careful = {*follower.careful, receiver}

    def settle(
        self, channel: bytes, receiver: Receiver, connection: Connection, *, binary: bool
    ) -> None:
        """Hand all further messages of a channel straight to the receiver's connection."""
        follower = self._followers[channel]
        follower.careful = follower.careful - {receiver}
        name = "binary" if binary else "text"
        members = getattr(follower, name) or set()
        members.add(connection)
        setattr(follower, name, members)

    def unsettle(self, channel: bytes, receiver: Receiver, connection: Connection) -> None:
        """Let the receiver look at each message of a channel again."""
        follower = self._followers[channel]
        _discard(follower.text, connection)
        _discard(follower.binary, connection)
        follower.careful = {*follower.careful, receiver}

    def leave(self, channel: bytes, receiver: Receiver) -> None:
        """Deliver nothing more of a channel."""
        follower = self._followers.get(channel)
        if follower is None:
            return
        follower.careful = follower.careful - {receiver}
        if receiver.connection is not None:
            _discard(follower.text, receiver.connection)
            _discard(follower.binary, receiver.connection)
        if not follower:
            del self._followers[channel]
            self._unsubscribe(channel)

    def forget_returns(self) -> None:
        """Let no receiver wait for its own messages, as they were lost with the link to Redis."""
        for follower in tuple(self._followers.values()):
            for receiver in follower.careful:
                receiver.forget_returns()

    def dispatch(self, deliveries: Sequence[Delivery]) -> None:
        """Deliver messages that arrived together; returns when all sockets were written.

        Each connection receives them in the given order. Between two slices of sockets other work
        of the hub may run, so the caller must not dispatch again before this has returned.
        """
        self._metrics.event("bus.messages", len(deliveries))
        runs = [
            (channel, [payload for _, payload in run])
            for channel, run in groupby(deliveries, key=itemgetter(0))
        ]
        if len(runs) == 1:
            for connection, data in self._frames(*runs[0]):
                self._send(connection, data)
            return
        parts: defaultdict[Connection, list[bytes]] = defaultdict(list)
        for run in runs:
            for connection, data in self._frames(*run):
                parts[connection].append(data)
        for connection, chunks in parts.items():
            self._send(connection, b"".join(chunks))

    def _frames(self, channel: bytes, payloads: list[bytes]) -> Iterator[tuple[Connection, bytes]]:
        """Yield what each connection has to receive of a run of messages on one channel."""
        follower = self._followers.get(channel)
        if follower is None:
            return
        settled = len(follower.text) + len(follower.binary)
        self._metrics.event("messages.delivered", settled * len(payloads))
        # The sets may change while the hub does something else: walk through copies.
        text, binary, careful = tuple(follower.text), tuple(follower.binary), follower.careful
        for receiver in careful:
            data = b"".join([receiver.accept(channel, payload) for payload in payloads])
            if data and receiver.connection is not None:
                yield receiver.connection, data
        for members, encode in ((text, encode_auto), (binary, encode_binary)):
            if members:
                data = b"".join(map(encode, payloads))
                for connection in members:
                    yield connection, data

    def _send(self, connection: Connection, data: bytes) -> None:
        connection.send(data)
        self._written += 1
        if self._written >= SLICE:
            self._written = 0
            self._pause()


def encode_auto(payload: bytes) -> bytes:
    """Return the frame of a message: text if it is valid UTF-8, else binary."""
    return encode_message(payload, binary=not _is_text(payload))


def encode_binary(payload: bytes) -> bytes:
    """Return the frame of a message as binary."""
    return encode_message(payload, binary=True)


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def _discard(members: set[Connection] | frozenset[Connection], connection: Connection) -> None:
    if isinstance(members, set):
        members.discard(connection)
