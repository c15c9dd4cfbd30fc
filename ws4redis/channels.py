"""The only place that knows audiences, the syntax of a channel's name, and the prefix.

A channel is named ``[prefix:]AUDIENCE[:ID]:FACILITY``. The same string is the pub/sub channel and
the key of the persisted last message. ``:``, ``%`` and control characters of an id are
percent-encoded, so that no id can reach the channel of another one: without that, group ``a`` with
facility ``b:c`` and group ``a:b`` with facility ``c`` would share a channel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ws4redis.exceptions import ChannelError


class Audience(StrEnum):
    """Whom a channel addresses."""

    BROADCAST = "broadcast"
    """Everybody; has no id."""
    GROUP = "group"
    """Members of a Django group, by its name."""
    USER = "user"
    """One user, by ``get_username()``."""
    SESSION = "session"
    """One Django session, by its key."""


ACTIONS = ("subscribe", "publish")
"""What a websocket may do with a channel; ``ACTION-AUDIENCE`` is a flag of its address."""

CONTROL = "ws4redis:control"
"""Where loops are told whose rights changed. It has no audience, so no client gets there."""

_AUDIENCES = frozenset(Audience)
_SESSION_ID = re.compile(r"^(session:)[^:]+:")
_SESSION = re.compile(r"\bsession:[^:]+")
_RESERVED = re.compile(r"[:%\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Namespace:
    """Builds the names of channels below one prefix.

    Args:
        prefix: Text before the audience, without its colon; empty for none.
    """

    prefix: str = ""

    def name(self, audience: Audience, facility: str, identifier: str = "") -> str:
        """Return the name of one channel.

        Raises:
            ChannelError: The facility is empty, or the id of the audience is.
        """
        if not facility:
            raise ChannelError("A channel needs a facility, got an empty one.")
        parts = [self.prefix] if self.prefix else []
        parts.append(audience)
        if audience is not Audience.BROADCAST:
            parts.append(_encoded_id(audience, identifier))
        parts.append(facility)
        return ":".join(parts)

    @property
    def control(self) -> str:
        """The name of the control channel."""
        return f"{self._start}{CONTROL}"

    def derived(self, kind: str, name: str) -> str:
        """Return the name of something else that belongs to a channel, such as its stream."""
        return f"{self._start}ws4redis:{kind}:{name.removeprefix(self._start)}"

    def split(self, name: str) -> tuple[Audience, str, str] | None:
        """Return audience, id and facility of a channel by its name; None if it is none of ours."""
        if not name.startswith(self._start):
            return None
        audience, _, rest = name.removeprefix(self._start).partition(":")
        if audience not in _AUDIENCES or not rest:
            return None
        if audience == Audience.BROADCAST:
            return Audience.BROADCAST, "", rest
        # No id holds a colon.
        identifier, _, facility = rest.partition(":")
        return (Audience(audience), identifier, facility) if facility else None

    def shown(self, name: str) -> str:
        """Return the name of a channel as its clients see it: without prefix and session key."""
        short = name.removeprefix(self._start)
        return _SESSION_ID.sub(r"\1", short)

    @property
    def _start(self) -> str:
        return f"{self.prefix}:" if self.prefix else ""

    def names(
        self,
        facility: str,
        *,
        broadcast: bool = False,
        groups: Iterable[str] = (),
        users: Iterable[str] = (),
        sessions: Iterable[str] = (),
    ) -> Iterator[str]:
        """Yield the names of all channels that the audiences make with one facility.

        Raises:
            ChannelError: The facility or an id is empty.
        """
        if broadcast:
            yield self.name(Audience.BROADCAST, facility)
        for audience, identifiers in (
            (Audience.GROUP, groups),
            (Audience.USER, users),
            (Audience.SESSION, sessions),
        ):
            for identifier in identifiers:
                yield self.name(audience, facility, identifier)


def without_secrets(name: str) -> str:
    """Return the name of a channel for the log: whoever knows the key of a session has it."""
    return _SESSION.sub("session:*", name)


def _encoded_id(audience: Audience, identifier: str) -> str:
    if not identifier:
        raise ChannelError(f"The audience {audience.value!r} needs an id, got an empty one.")
    return _RESERVED.sub(lambda match: f"%{ord(match[0]):02X}", identifier)
