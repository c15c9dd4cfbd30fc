"""From a page to its live messages without a gap: where channels were before it read its data.

A view reads the database, the page is rendered, and its websocket opens at last. What is published
in between is in neither of them, unless the page knows where its channels were before the view's
first query. Only the template says which channels these are, so that the time of that query is
remembered, by Redis's clock, and where they were then is found out afterwards.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from django.core import signing

from ws4redis.audiences import SELF, Unresolved
from ws4redis.conf import get_histories, get_settings, load_callable
from ws4redis.context_processors import websocket_uri
from ws4redis.exceptions import BusError
from ws4redis.history import Call, Position
from ws4redis.redis_client import bus_errors, get_client, run

__all__ = ["mark", "options", "positions", "read", "token"]

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

SALT = "ws4redis.page"
MAX_AGE = 86_400
"""Seconds for which a token says where its page was."""
PAUSE = 5.0
"""Seconds for which pages don't ask a Redis that was away: each of them would wait for it anew."""

_MARK = "_ws4redis_mark"
_NOW = 10**16
"""A time after all messages, for a request that was not marked yet."""
_AUDIENCES: Mapping[str, dict[str, Any]] = {
    "subscribe-session": {"sessions": [SELF]},
    "subscribe-group": {"groups": [SELF]},
    "subscribe-user": {"users": [SELF]},
    "subscribe-broadcast": {"broadcast": True},
}
_MODES = ("echo", "binary")


class _Asker:
    """Asks Redis for pages, which are rendered without an answer while it is away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_away = False
        self._asks_again = 0.0

    def ask(self, question: Callable[[Any], Answer]) -> Answer | None:
        """Return the answer to a question; None while Redis is away."""
        if self._is_away and not self._may_try():
            return None
        client = get_client()
        try:
            with bus_errors(client):
                answer = question(client)
        except BusError as error:
            self._note(str(error))
            return None
        if self._is_away:
            self._note(None)
        return answer

    def _may_try(self) -> bool:
        """Return whether it is time to try again; one request does so for all."""
        with self._lock:
            now = time.monotonic()
            if now < self._asks_again:
                return False
            self._asks_again = now + PAUSE
            return True

    def _note(self, problem: str | None) -> None:
        with self._lock:
            was_away, self._is_away = self._is_away, problem is not None
            self._asks_again = time.monotonic() + PAUSE
        if problem and not was_away:
            logger.warning("Pages don't know where their channels are: %s", problem)
        elif was_away and not problem:
            logger.info("Pages know again where their channels are")


_asker = _Asker()


def watch(request: Any) -> None:
    """Note that somebody will mark the request in time."""
    if not hasattr(request, _MARK):
        setattr(request, _MARK, _NOW)


def mark(request: Any) -> None:
    """Let the messages of a page be those from now on; only the first call of a request counts.

    The middleware calls it before the first query. Who reads what the page shows from elsewhere,
    such as a cache, calls it before that.

    Args:
        request: The request for the page.
    """
    if getattr(request, _MARK, _NOW) != _NOW:
        return
    # First of all: a log that writes into the database would come back here.
    setattr(request, _MARK, None)
    setattr(request, _MARK, _asker.ask(_time))


def positions(request: Any, facility: str, flags: Sequence[str]) -> dict[str, Position]:
    """Return where the channels of a page were when its request was marked; now, if it was not.

    It takes one round trip to Redis. What has no history is left out, and so is what addresses
    nobody. While Redis is away, nothing is known.

    Args:
        request: The request for the page.
        facility: The facility.
        flags: As in the address of a websocket, such as ``'subscribe-broadcast'``.

    Returns:
        The positions by the names of the channels, as clients see them.

    Raises:
        ValueError: There is no such flag, or the facility is empty.
    """
    shown = get_settings().namespace.shown
    calls = dict(_calls(request, facility, flags))
    if not calls:
        return {}
    if not hasattr(request, _MARK):
        _warn()
    answers = _asker.ask(lambda client: run(client, [*calls.values()])) or ()
    found = zip(calls, map(_position, answers), strict=False)
    return {shown(name): position for name, position in found if position is not None}


def token(request: Any, facility: str, flags: Sequence[str]) -> str:
    """Return the same, signed, as a websocket names it in the parameter ``from``.

    Args:
        request: The request for the page.
        facility: The facility.
        flags: As in the address of a websocket.

    Raises:
        ValueError: There is no such flag, or the facility is empty.
    """
    found = {name: str(one) for name, one in positions(request, facility, flags).items()}
    content = {"f": facility, "c": list(flags), "p": found}
    return signing.dumps(content, salt=SALT, compress=True)


def read(token: str, facility: str) -> dict[str, Position] | None:
    """Return the positions that a token names; None if it is none of ours, or too old.

    It grants nothing.

    Args:
        token: Whatever a client sent.
        facility: The facility that it asks for.
    """
    # Django would stumble over half a character.
    if not token.isascii():
        return None
    try:
        content = signing.loads(token, salt=SALT, max_age=MAX_AGE)
    except signing.BadSignature:
        return None
    if content["f"] != facility:
        return None
    parsed = ((name, Position.parse(text)) for name, text in content["p"].items())
    return {name: position for name, position in parsed if position is not None}


def options(request: Any, facility: str, flags: Sequence[str]) -> dict[str, Any]:
    """Return what a page needs to open its websocket, as the template tag writes it.

    Args:
        request: The request for the page.
        facility: The facility.
        flags: As in the address of a websocket.

    Raises:
        ValueError: There is no such flag, or the facility is empty.
    """
    return {
        "uri": websocket_uri(request),
        "facility": facility,
        "channels": list(flags),
        "from": token(request, facility, flags),
        "heartbeat": get_settings().heartbeat,
    }


@cache
def _warn() -> None:
    """Say once what else would show as lost messages only."""
    logger.warning(
        "A page asks where its channels are, and nobody noted when it began to read its data, so "
        "that it misses what was published since: name ws4redis.middleware.PositionsMiddleware in "
        "MIDDLEWARE, or call ws4redis.page.mark() first"
    )


def _calls(request: Any, facility: str, flags: Sequence[str]) -> Iterator[tuple[str, Call]]:
    """Yield the names of the channels with a history, and what finds out where they were."""
    histories, moment = get_histories(), getattr(request, _MARK, _NOW)
    for name in _channels(request, facility, flags):
        retention = histories.retention(name)
        if retention is not None and moment is not None:
            yield name, histories.locate(name, retention, moment)


def _channels(request: Any, facility: str, flags: Sequence[str]) -> Iterator[str]:
    """Yield the names of the channels to which a websocket with these flags would subscribe."""
    subscriber = load_callable(get_settings().subscriber)(get_client())
    known = [*subscriber.subscription_channels, *subscriber.publish_channels, *_MODES]
    if unknown := [flag for flag in flags if flag not in known]:
        raise ValueError(f"There is no flag {unknown[0]!r}; there are {', '.join(known)}.")
    for flag in flags:
        if audience := _AUDIENCES.get(flag):
            try:
                yield from subscriber._get_message_channels(request, facility, **audience)
            except Unresolved:
                continue


def _time(client: Any) -> int:
    seconds, microseconds = client.time()
    return int(seconds) * 1_000_000 + int(microseconds)


def _position(answer: str | bytes) -> Position | None:
    return Position.parse(answer if isinstance(answer, str) else answer.decode())
