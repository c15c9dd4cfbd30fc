"""How a channel begins for one websocket: with its persisted message, or with what it missed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ws4redis.history import Position
from ws4redis.wire.outgoing import Outgoing

MISSED_LIMIT = 2**24
"""Bytes of missed messages that are held for one websocket until it gets them; with more, it is
told that they can't be had."""


class Start(NamedTuple):
    """How a channel begins for one websocket."""

    position: Position | None = None
    """Where it is before the messages; None if it has no history."""
    recovered: bool | None = None
    """Whether the messages are all that was missed; None if nobody asked for them."""
    messages: Sequence[Outgoing] = ()

    def told(self) -> dict[str, Any]:
        """Return what the client is told of it."""
        told: dict[str, Any] = {}
        if self.position is not None:
            told["position"] = str(self.position)
        if self.recovered is not None:
            told["recovered"] = self.recovered
        return told


class Reading(NamedTuple):
    """What Redis said of a channel."""

    position: Position
    is_whole: bool
    """Whether everything since the asked position is there, as far as it was read."""
    last: bytes | None
    """The persisted message, for who asked without a position."""
    messages: list[tuple[int, bytes]]
    """Offsets and payloads."""

    @classmethod
    def parse(cls, answer: Any) -> Reading:
        """Read the answer of ``read.lua``.

        Raises:
            ValueError: Redis has a position that is none.
        """
        text, is_whole, last, *rest = answer
        position = Position.parse(text.decode())
        if position is None:
            raise ValueError(f"Redis has a position that is none: {text!r}")
        offsets = [int(identifier.partition(b"-")[0]) for identifier in rest[::2]]
        return cls(position, bool(is_whole), last, list(zip(offsets, rest[1::2], strict=True)))

    @property
    def reached(self) -> Position:
        """Where the channel is with the last of the messages."""
        if not self.messages:
            return self.position
        return self.position._replace(offset=self.messages[-1][0])


class Joining:
    """One websocket that begins a channel.

    Args:
        since: Where it was; None if it is new.
        shown: The name of the channel as clients see it.
    """

    __slots__ = ("_messages", "_shown", "_size", "_start", "since")

    def __init__(self, since: Position | None, shown: str) -> None:
        self.since = since
        self._start = since
        self._shown = shown
        self._messages: list[Outgoing] = []
        self._size = 0

    def take(self, reading: Reading) -> Start | None:
        """Return the start; None if there is more to read."""
        if self.since is None:
            return Start(reading.position, messages=persisted(reading.last, self._shown))
        if not reading.is_whole or self._size > MISSED_LIMIT:
            return Start(reading.position, recovered=False)
        for offset, payload in reading.messages:
            position = reading.position._replace(offset=offset)
            self._messages.append(Outgoing(payload, self._shown, str(position)))
            self._size += len(payload)
        self.since = reading.reached
        if self.since != reading.position:
            return None
        return Start(self._start, recovered=True, messages=self._messages)


def persisted(last: bytes | None, shown: str) -> Sequence[Outgoing]:
    """Return the persisted message of a channel, if there is one.

    Args:
        last: Its payload.
        shown: The name of the channel as clients see it.
    """
    return () if last is None else (Outgoing(last, shown, is_persisted=True),)
