"""Publishes messages from any Django code, and fetches persisted ones."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from ws4redis.audiences import Unresolved, own_groups, own_session, own_user
from ws4redis.channels import Audience
from ws4redis.conf import get_settings
from ws4redis.redis_client import bus_errors
from ws4redis.redis_store import RedisMessage, RedisStore

__all__ = ["RedisPublisher"]

_OWN = {"session": own_session, "user": own_user, "group": own_groups}
"""In this order ``fetch_message`` looks for ``'any'``, and at last at the broadcast."""
_AUDIENCES = (*_OWN, "broadcast", "any")
_ARGUMENTS = ("facility", "broadcast", "groups", "users", "sessions", "request")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class RedisPublisher(RedisStore):
    """Publishes on the channels of one facility.

    Without arguments it can only fetch.

    Args:
        facility: The part of a websocket's address after ``WEBSOCKET_URL``.
        broadcast: Address every websocket with ``subscribe-broadcast``.
        groups: Groups, or their names, or ``SELF``, whose members are addressed.
        users: Users, or their names, or ``SELF``.
        sessions: Keys of sessions, or ``SELF``.
        request: What ``SELF`` stands for.

    Raises:
        TypeError: An argument is unknown or has a wrong type, or ``facility`` is missing.
        ValueError: An argument addresses nobody.
    """

    def __init__(self, **audience: Any) -> None:
        super().__init__()
        self._has_audience = bool(audience)
        if audience:
            _check_names(audience)
            _check_arguments(**audience)
            self._publishers.update(self._get_message_channels(**audience))

    def fetch_message(
        self, request: Any, facility: str, audience: str = "any"
    ) -> RedisMessage | None:
        """Return the persisted message of the first channel that has one; None if none has.

        Args:
            request: Whose session, user and groups are looked at; None for the broadcast only.
            facility: The facility.
            audience: ``'session'``, ``'user'``, ``'group'``, ``'broadcast'``, or ``'any'`` for all
                of them in this order. What resolves to nobody is passed over.

        Raises:
            ValueError: There is no such audience.
            BusError: Redis is away.
        """
        if audience not in _AUDIENCES:
            raise ValueError(f"audience must be one of {', '.join(_AUDIENCES)}, got {audience!r}.")
        channels = list(_channels(request, facility, audience))
        with bus_errors(self._connection):
            found = self._connection.mget(channels) if channels else []
        return next((RedisMessage(value) for value in found if value is not None), None)

    def _require_audience(self) -> None:
        if not self._has_audience:
            raise ValueError(
                "This RedisPublisher can only fetch: it was made without facility and audience."
            )


def _check_names(arguments: Iterable[str]) -> None:
    for name in arguments:
        if name not in _ARGUMENTS:
            close = difflib.get_close_matches(name, _ARGUMENTS, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise TypeError(
                f"RedisPublisher takes no argument {name!r}.{meant} There are "
                f"{', '.join(_ARGUMENTS)}."
            )


def _check_arguments(facility: Any = None, request: Any = None, **audience: Any) -> None:
    if not isinstance(facility, str):
        raise TypeError(f"facility must be a text, got {facility!r}.")
    if not facility or _CONTROL.search(facility):
        raise ValueError(f"facility must be a text without control characters, got {facility!r}.")
    if not audience:
        raise ValueError("Name an audience: broadcast=True, groups=…, users=… or sessions=…")


def _channels(request: Any, facility: str, audience: str) -> Iterator[str]:
    namespace = get_settings().namespace
    for name, own in _OWN.items():
        if audience in (name, "any"):
            try:
                ids = own(request)
            except Unresolved:
                continue
            yield from (namespace.name(Audience(name), facility, item) for item in ids)
    if audience in ("broadcast", "any"):
        yield from namespace.names(facility, broadcast=True)
