"""From channel to the local websockets: encodes each message once, writes each socket once.

The map from channel to receivers is the truth; the bus follows it: the first receiver of a channel
subscribes it, the last one to go unsubscribes it. Everything here runs on the hub.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Protocol

from ws4redis.loop.bus import Delivery
from ws4redis.loop.connection import Connection
from ws4redis.loop.fanout import Batch, Fanout
from ws4redis.metrics import Metrics
from ws4redis.wire.outgoing import Encoding, Outgoing


class Receiver(Protocol):
    """Takes messages one by one, as long as they can't simply be handed to a connection."""

    @property
    def connection(self) -> Connection | None:
        """Where the messages end up; None if there is none yet."""

    @property
    def encoding(self) -> Encoding:
        """The form in which it wants them."""

    def accept(self, channel: bytes, message: Outgoing) -> bytes:
        """Look at one message; return the frame to send for it now, empty if there is none."""

    def forget_returns(self) -> None:
        """Expect none of its own messages any more."""


class Follower:
    """The local receivers of one channel.

    ``settled`` holds the connections to which messages go as they are, by the form they want, each
    with the number of receivers it has here, as one websocket may hold several facilities, and
    ``careful`` the receivers that have to look at each message. Connections are in the order in
    which they came, not in a set: neighbours in memory are then written one after the other, which
    made a delivery some 5 % cheaper.
    """

    __slots__ = ("careful", "settled", "shown")

    def __init__(self, shown: str) -> None:
        self.shown = shown
        """The name of the channel as its clients see it."""
        self.settled: dict[Encoding, dict[Connection, int]] = {}
        self.careful: set[Receiver] | frozenset[Receiver] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.settled or self.careful)

    def settle(self, receiver: Receiver, connection: Connection) -> None:
        """Hand messages straight to the receiver's connection."""
        if receiver not in self.careful:
            return
        self.careful = self.careful - {receiver}
        members = self.settled.setdefault(receiver.encoding, {})
        members[connection] = members.get(connection, 0) + 1

    def unsettle(self, receiver: Receiver) -> None:
        """Hand the receiver's connection nothing any more."""
        members = self.settled.get(receiver.encoding)
        connection = receiver.connection
        if members is None or connection is None or connection not in members:
            return
        members[connection] -= 1
        if not members[connection]:
            del members[connection]
        if not members:
            del self.settled[receiver.encoding]


class Dispatcher:
    """Hands messages from the bus to the local websockets.

    Args:
        subscribe: Called with a channel that got its first receiver.
        unsubscribe: Called with a channel that lost its last one.
        fanout: Writes to the connections.
        metrics: Where events are counted.
        shown: Returns the name of a channel as its clients see it.
    """

    def __init__(
        self,
        subscribe: Callable[[bytes], None],
        unsubscribe: Callable[[bytes], None],
        fanout: Fanout,
        metrics: Metrics,
        shown: Callable[[str], str] = str,
    ) -> None:
        self._followers: dict[bytes, Follower] = {}
        self._shown = shown
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._fanout = fanout
        self._metrics = metrics

    @property
    def channels(self) -> Iterable[bytes]:
        """The channels that have receivers in this process."""
        return self._followers.keys()

    def shown(self, channel: bytes) -> str:
        """Return the name of a channel as its clients see it."""
        return self._shown(channel.decode(errors="replace"))

    def join(self, channel: bytes, receiver: Receiver) -> None:
        """Let a receiver look at each message of a channel."""
        follower = self._followers.get(channel)
        if follower is None:
            follower = self._followers[channel] = Follower(self.shown(channel))
            self._subscribe(channel)
        follower.careful = {*follower.careful, receiver}

    def settle(self, channel: bytes, receiver: Receiver, connection: Connection) -> None:
        """Hand all further messages of a channel straight to the receiver's connection."""
        self._followers[channel].settle(receiver, connection)

    def unsettle(self, channel: bytes, receiver: Receiver) -> None:
        """Let the receiver look at each message of a channel again."""
        follower = self._followers[channel]
        follower.unsettle(receiver)
        follower.careful = {*follower.careful, receiver}

    def leave(self, channel: bytes, receiver: Receiver) -> None:
        """Deliver nothing more of a channel."""
        follower = self._followers.get(channel)
        if follower is None:
            return
        if receiver in follower.careful:
            follower.careful = follower.careful - {receiver}
        else:
            follower.unsettle(receiver)
        if not follower:
            del self._followers[channel]
            self._unsubscribe(channel)

    def flush(self, connection: Connection) -> None:
        """Write what was handed on to a connection and is still due."""
        self._fanout.flush(connection)

    def forget_returns(self) -> None:
        """Let no receiver wait for its own messages, as they were lost with the link to Redis."""
        for follower in tuple(self._followers.values()):
            for receiver in follower.careful:
                receiver.forget_returns()

    def dispatch(self, deliveries: Sequence[Delivery]) -> None:
        """Deliver messages that arrived together; each connection gets them in the given order.

        Other work of the hub may run meanwhile, so the caller must not dispatch again before this
        has returned.
        """
        self._metrics.event("bus.messages", len(deliveries))
        batches = (
            self._batch_of(channel, run) for channel, run in groupby(deliveries, key=itemgetter(0))
        )
        self._fanout.write(_joined(batches))

    def notify(self, channel: bytes, kind: Callable[[str], Outgoing]) -> None:
        """Deliver one message of our own, made from the channel's name as its clients see it."""
        if (follower := self._followers.get(channel)) is not None:
            self._fanout.write(self._batch(follower, channel, [kind(follower.shown)]))

    def _batch_of(self, channel: bytes, run: Iterable[Delivery]) -> Batch:
        """Return what each connection has to get of a run of messages on one channel."""
        follower = self._followers.get(channel)
        if follower is None:
            return {}
        shown = follower.shown
        return self._batch(
            follower, channel, [Outgoing(payload, shown, place) for _, payload, place in run]
        )

    def _batch(self, follower: Follower, channel: bytes, messages: list[Outgoing]) -> Batch:
        # First, as those that look at a message may settle over it.
        batch = self._of_settled(follower, messages)
        for receiver in follower.careful:
            frames = [receiver.accept(channel, message) for message in messages]
            if any(frames) and receiver.connection is not None:
                self._metrics.event("messages.delivered", sum(map(bool, frames)))
                batch[receiver.connection] = tuple(frames)
        return batch

    def _of_settled(self, follower: Follower, messages: list[Outgoing]) -> Batch:
        batch: Batch = {}
        for encoding, members in follower.settled.items():
            if frames := b"".join([message.frame(encoding) for message in messages]):
                self._metrics.event("messages.delivered", len(members) * len(messages))
                batch |= dict.fromkeys(members, (frames,))
        return batch


def _joined(batches: Iterator[Batch]) -> Batch:
    """Return one batch for several that follow each other; mostly there is but one."""
    first, second = next(batches, {}), next(batches, None)
    if second is None:
        return first
    joined: defaultdict[Connection, list[bytes]] = defaultdict(list)
    for batch in chain((first, second), batches):
        for connection, frames in batch.items():
            joined[connection] += frames
    return dict(joined)
