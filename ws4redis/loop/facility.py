"""A websocket that follows channels: what Redis delivers goes out, what comes in is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ws4redis.history import Position
from ws4redis.loop.connection import Connection, Phase
from ws4redis.loop.dispatcher import Dispatcher
from ws4redis.loop.echo import Unreturned
from ws4redis.loop.handover import Handover
from ws4redis.loop.joining import Start
from ws4redis.wire import v1
from ws4redis.wire.close import CloseCode
from ws4redis.wire.outgoing import PLAIN, Encoding, Form, Outgoing


@dataclass(frozen=True, slots=True)
class Membership:
    """Which channels a websocket reads and writes, and how."""

    subscriptions: tuple[bytes, ...] = ()
    """Channels whose messages it gets."""
    publications: tuple[bytes, ...] = ()
    """Channels on which its own messages are published."""
    echo: bool = False
    """Whether it gets its own messages back."""
    encoding: Encoding = PLAIN
    """The form in which it gets messages."""
    name: str = ""
    """Of the facility."""
    since: Mapping[bytes, Position | None] = field(default_factory=dict)
    """Where the client was, by channel; None where that is nowhere."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """The flags that it does not get, and why."""
    command: int | None = None
    """What the client called its wish to subscribe; None for that of its address."""

    @property
    def size(self) -> int:
        """What it counts for: its channels, and one if it has none."""
        return len({*self.subscriptions, *self.publications}) or 1


class Publisher(Protocol):
    """Publishes what websockets send; runs on the hub and must not block."""

    def publish(self, facility: Facility, payload: bytes) -> None:
        """Take over one message of a websocket."""

    def release(self, facility: Facility) -> None:
        """The websocket is gone."""


class Facility:
    """The handler of one websocket on a facility; it is also its receiver while that is needed.

    Args:
        membership: The channels.
        dispatcher: Where the channels are joined.
        publisher: Takes the client's messages.
        heartbeat: Text which, when a client sends it, is no message.
        hold_limit: Bytes that may be held until the websocket is open.
    """

    __slots__ = (
        "_dispatcher",
        "_handover",
        "_has_left",
        "_heartbeat",
        "_publisher",
        "_starts",
        "_unreturned",
        "connection",
        "membership",
    )

    def __init__(
        self,
        membership: Membership,
        *,
        dispatcher: Dispatcher,
        publisher: Publisher,
        heartbeat: bytes | None,
        hold_limit: int,
    ) -> None:
        self.membership = membership
        self.connection: Connection | None = None
        self._dispatcher = dispatcher
        self._publisher = publisher
        self._heartbeat = heartbeat
        self._handover: Handover | None = Handover(hold_limit)
        self._starts: dict[bytes, Start] = {}
        self._has_left = False
        self._unreturned: Unreturned | None = None

    @property
    def encoding(self) -> Encoding:
        """The form in which the websocket gets messages."""
        return self.membership.encoding

    @property
    def handover(self) -> Handover:
        """What arrives until the websocket is open.

        Raises:
            RuntimeError: It is open already.
        """
        if self._handover is None:
            raise RuntimeError("The websocket is open, there is nothing to hand over any more.")
        return self._handover

    @property
    def is_closed(self) -> bool:
        """Whether the websocket was open and is so no more, or does not follow this any more."""
        if self._has_left:
            return True
        return self.connection is not None and self.connection.phase is not Phase.OPEN

    def join(self) -> None:
        """Hold the messages of all channels back until the websocket is open."""
        for channel in self.membership.subscriptions:
            self._dispatcher.join(channel, self)

    def start(self, channel: bytes, start: Start) -> None:
        """Note where a channel begins for this websocket, and with which messages."""
        self.handover.found(channel, start.messages)
        if self.encoding.form is not Form.RAW:
            self._starts[channel] = start._replace(messages=())

    def leave(self) -> None:
        """Give all channels back."""
        self._has_left = True
        for channel in self.membership.subscriptions:
            self._dispatcher.leave(channel, self)
        if self.connection is not None:
            # Its last messages come before what is said of its end, and before a new beginning.
            self._dispatcher.flush(self.connection)
        self._publisher.release(self)

    def accept(self, channel: bytes, message: Outgoing) -> bytes:
        """Look at one message; return the frame to send for it now, if any."""
        if self._handover is not None:
            self._handover.hold(channel, message)
            return b""
        if not message.is_notice and self._swallow(channel, message.payload):
            return b""
        return self._frame(message)

    def on_open(self, connection: Connection) -> None:
        """Deliver what was held, then go live; end it if more came than could be held."""
        self.connection = connection
        handover, self._handover = self.handover, None
        if handover.overflowed:
            connection.close(CloseCode.TRY_AGAIN_LATER, "Too much was published meanwhile.")
            return
        if data := b"".join([self._greeting(), *map(self._frame, handover.merged())]):
            # Another facility of the websocket may follow the same channel.
            self._dispatcher.flush(connection)
            connection.send(data)
        for channel in self.membership.subscriptions:
            self._settle(channel, connection)

    def on_message(self, payload: bytes, binary: bool) -> None:
        """Publish what the client sent, unless it is a heartbeat."""
        if payload != self._heartbeat:
            self.publish(payload)

    def publish(self, payload: bytes) -> None:
        """Publish what the client sent."""
        self._publisher.publish(self, payload)

    def on_close(self, code: int, reason: str) -> None:
        """Leave all channels."""
        self.leave()

    def farewell(self, code: int, reason: str) -> bytes:
        """Say nothing before the close frame."""
        return b""

    def expect_return(self, payload: bytes) -> None:
        """Swallow one equal message on each channel that is both written and read, unless echoed.

        To be called just before the message is published, which may be after the websocket's end.
        """
        if self.membership.echo or self.connection is None or self.is_closed:
            return
        for channel in set(self.membership.publications) & set(self.membership.subscriptions):
            if self._unreturned is None:
                self._unreturned = Unreturned()
            if not self._unreturned.awaits(channel):
                self._dispatcher.unsettle(channel, self)
            self._unreturned.expect(channel, payload)

    def retract(self, payload: bytes, *channels: bytes) -> None:
        """Expect a message no more that could not be published; without channels, on none."""
        if not self.is_closed:
            for channel in channels or self.membership.publications:
                self._swallow(channel, payload)

    def forget_returns(self) -> None:
        """Swallow nothing any more, as after a loss of the link to Redis."""
        if self._unreturned is None or self.connection is None:
            return
        for channel in self._unreturned.clear():
            self._settle(channel, self.connection)

    def _greeting(self) -> bytes:
        """Return what tells a client that can read it where its channels begin."""
        if self.encoding.form is Form.RAW:
            return b""
        starts, self._starts = self._starts, {}
        membership, shown = self.membership, self._dispatcher.shown
        return self._say(
            "welcome" if membership.command is None else "subscribed",
            id=membership.command,
            facility=membership.name,
            channels={shown(channel): start.told() for channel, start in starts.items()},
            publishes=[shown(channel) for channel in membership.publications],
            refused=dict(membership.refused),
        )

    def _say(self, kind: str, **values: Any) -> bytes:
        return v1.control(kind, **values)

    def _frame(self, message: Outgoing) -> bytes:
        return message.frame(self.encoding)

    def _swallow(self, channel: bytes, payload: bytes) -> bool:
        """Return whether a message is one of its own that it waits for, and wait no more."""
        if self._unreturned is None or not self._unreturned.swallow(channel, payload):
            return False
        if not self._unreturned.awaits(channel) and self.connection is not None:
            self._settle(channel, self.connection)
        return True

    def _settle(self, channel: bytes, connection: Connection) -> None:
        # It may have left the channel already: while it was sent to, or between two slices.
        if connection.phase is Phase.OPEN and not self._has_left:
            self._dispatcher.settle(channel, self, connection)
