"""Which channels have a history, where each of them is, and what Redis is told to do with it.

A channel with a history has a stream of its last messages. Each of them has a position: the offset,
which grows by one with each message, and the epoch, which changes when offsets may have been lost
and given anew. Who knows its last position can ask for what followed, or learns that it is gone.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from ws4redis.channels import Audience, Namespace
from ws4redis.scripts import LOCATE, PUBLISH, READ, Script

LARGEST = 2**31 - 1
"""Of all numbers of seconds and messages: Redis and Lua count with it and its double exactly."""
PAGE = 500
"""Messages read at once."""
DEFAULTS: Mapping[str, object] = {"length": 1000, "expire": 86_400, "audiences": tuple(Audience)}
"""What a rule says of a facility without saying it."""
REMEMBERED = 10_000
"""Channels of which it is remembered whether they have a history."""
KNOWN = 7 * 86_400
"""Seconds after the last message for which positions of a channel are known at least: the stream
may be gone by then, and who has missed nothing is told so nevertheless."""
ONCE = 86_400
"""Seconds for which the idempotency key of a message is remembered."""


class Position(NamedTuple):
    """Where a channel is, or was: ``epoch:offset`` as text."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Return the position that a text stands for; None if it stands for none."""
        epoch, separator, offset = text.partition(":")
        # Whatever a client may send: Lua must get a number that it can hold.
        # With a star, the epoch is one in which nothing was published yet.
        good = epoch.removeprefix("*").isalnum() and offset.isdecimal() and text.isascii()
        if not (separator and good and len(epoch) <= 32 and len(offset) <= 15):
            return None
        return cls(epoch, int(offset))

    @property
    def is_beginning(self) -> bool:
        """Whether nothing was published before it."""
        return self.epoch.startswith("*")

    def is_at(self, other: Position) -> bool:
        """Return whether nothing lies between this position and another one."""
        return self == other or (self.is_beginning and other.is_beginning)

    def is_just_before(self, other: Position) -> bool:
        """Return whether another position is that of the next message."""
        if self.is_beginning:
            return other.offset == 1
        return self.epoch == other.epoch and self.offset + 1 == other.offset


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

NOWHERE = Position("", 0)
"""A position that no channel ever had."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept of a channel."""

    length: int
    """Messages that are kept at least; Redis drops older ones some at a time."""
    expire: int
    """Seconds after the last message until the stream is gone; 0 for never."""

    @property
    def known(self) -> int:
        """Seconds after the last message until its positions may be gone; 0 for never."""
        return max(self.expire, KNOWN) if self.expire else 0


@dataclass(frozen=True, slots=True)
class Rule:
    """Which facilities have a history."""

    pattern: str
    """Of the facility's name, as file names are matched: ``news/*``."""
    retention: Retention
    audiences: frozenset[Audience] = frozenset(Audience)


class Call(NamedTuple):
    """One call of a script."""

    script: Script
    keys: tuple[str, ...]
    arguments: tuple[str | bytes | int, ...]


def _no_retention(name: str) -> Retention | None:
    return None


class Histories:
    """The channels of a site that have a history.

    Args:
        namespace: Names channels and keys.
        rules: The first one that fits a facility counts, also where it leaves audiences out.
    """

    def __init__(self, namespace: Namespace, rules: tuple[Rule, ...] = ()) -> None:
        self._namespace = namespace
        self._rules = rules
        self._data = namespace.derived("data", "id")
        """Is there as long as Redis has lost nothing; names the data, not the server."""
        self.retention = lru_cache(REMEMBERED)(self._retention) if rules else _no_retention
        """Returns what is kept of a channel, by its name; None if it has no history."""

    def __bool__(self) -> bool:
        return bool(self._rules)

    def live(self, name: str) -> str:
        """Return where the messages of a channel are published, each behind its position."""
        return self._namespace.derived("live", name)

    def publish(
        self, name: str, retention: Retention, payload: bytes, persist: int, once: str = ""
    ) -> Call:
        """Return what publishes a message; the answer begins with the number of receivers.

        Args:
            name: Of the channel.
            retention: What is kept of it.
            payload: The message.
            persist: Seconds for which it is the persisted message of the channel.
            once: The idempotency key; with the same one, no second message is published.
        """
        keys: tuple[str, ...] = self.keys(name)
        if once:
            # Without a colon, so that facility "a" with key "b:c" is not "a:b" with "c".
            keys += (self._namespace.derived("once", f"{name}:{quote(once, safe='')}"),)
        return Call(
            PUBLISH,
            keys,
            (
                payload,
                persist,
                secrets.token_hex(4),
                retention.length,
                retention.expire,
                self.live(name),
                ONCE,
                retention.known,
            ),
        )

    def read(self, name: str, since: Position | None) -> Call:
        """Return what reads a channel since a position, or only finds out where it is."""
        epoch, offset = since or ("", 0)
        keys = (*self.keys(name), self._data)
        retention = self.retention(name)
        return Call(READ, keys, (epoch, offset, PAGE, retention.known if retention else 0))

    def locate(self, name: str, retention: Retention, time: int) -> Call:
        """Return what finds out where a channel was.

        Args:
            name: Of the channel.
            retention: What is kept of it.
            time: Microseconds since 1970, by the clock of Redis.
        """
        keys = (*self.keys(name)[:2], self._data)
        return Call(LOCATE, keys, (time, retention.length, retention.known))

    def keys(self, name: str) -> tuple[str, str, str]:
        """Return the keys of a channel: its stream, its positions, and its persisted message."""
        return (
            self._namespace.derived("stream", name),
            self._namespace.derived("positions", name),
            name,
        )

    def _retention(self, name: str) -> Retention | None:
        if (parts := self._namespace.split(name)) is None:
            return None
        audience, _, facility = parts
        for rule in self._rules:
            if fnmatchcase(facility, rule.pattern):
                return rule.retention if audience in rule.audiences else None
        return None


NONE = Histories(Namespace())
"""No channel has a history."""


def rules(values: Mapping[str, Mapping[str, object]]) -> tuple[Rule, ...]:
    """Return the rules that a dictionary names: facilities, and what is kept of each.

    Raises:
        TypeError: A value has a wrong type, or an option is unknown; names it.
        ValueError: A value is out of its bounds, or there is no such audience.
    """
    return tuple(_rule(pattern, options) for pattern, options in values.items())


def _rule(pattern: object, options: object) -> Rule:
    if not isinstance(pattern, str) or not pattern:
        raise TypeError(f"a facility must be a text that is not empty, got {pattern!r}")
    if pattern.startswith("/") or _CONTROL.search(pattern):
        raise ValueError(
            f"no facility is like {pattern!r}: it is what follows WEBSOCKET_URL, without a slash "
            "before it and without control characters"
        )
    if not isinstance(options, Mapping):
        raise TypeError(f"{pattern!r} must have a dictionary of options, got {options!r}")
    if unknown := sorted(set(options) - set(DEFAULTS)):
        raise TypeError(
            f"{pattern!r} has an unknown option {unknown[0]!r}; there are {', '.join(DEFAULTS)}"
        )
    chosen = {**DEFAULTS, **options}
    length = _number(pattern, "length", chosen["length"], 1)
    expire = 0 if chosen["expire"] is None else _number(pattern, "expire", chosen["expire"], 1)
    return Rule(pattern, Retention(length, expire), _audiences(pattern, chosen["audiences"]))


def _audiences(pattern: str, value: object) -> frozenset[Audience]:
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise TypeError(f"the audiences of {pattern!r} must be a list, got {value!r}")
    if unknown := [item for item in value if item not in tuple(Audience)]:
        raise ValueError(
            f"{pattern!r} has an unknown audience {unknown[0]!r}; there are {', '.join(Audience)}"
        )
    return frozenset(Audience(item) for item in value)


def _number(pattern: str, name: str, value: object, minimum: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= LARGEST:
        return value
    raise TypeError(
        f"the {name} of {pattern!r} must be a whole number of at least {minimum} and at most "
        f"{LARGEST}, got {value!r}"
    )
