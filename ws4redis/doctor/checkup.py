"""All looks in their order: settings, Redis, and the way of a message to a client."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from ws4redis.conf import Settings, get_histories, get_settings
from ws4redis.doctor import bus, journey, site, visitor
from ws4redis.doctor.client import Target
from ws4redis.doctor.report import Finding, Level
from ws4redis.redis_client import address_of, get_client

OWN_FACILITY = "check-"
"""Begins the name of a facility that nobody else uses."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller asks for."""

    url: str | None = None
    facility: str | None = None
    user: str | None = None
    cookie: str | None = None
    timeout: float = 5.0
    insecure: bool = False
    quick: bool = False


def check(wishes: Wishes) -> Iterator[Finding]:
    """Yield what is found; ends early where the rest would only repeat a problem.

    Raises:
        ValueError: A wish can't be met; names it.
    """
    try:
        settings = get_settings()
    except ImproperlyConfigured:
        yield from site.look()
        return
    target = _target(wishes, settings)
    yield from site.look()
    if target is not None:
        yield from site.look_at(target)
    redis_is_good = True
    client = get_client()
    for finding in bus.look(client, _place(client), settings.prefix, get_histories()):
        redis_is_good = redis_is_good and finding.level is not Level.PROBLEM
        yield finding
    if target is not None and redis_is_good:
        yield from _travel(wishes, target, settings)


def _target(wishes: Wishes, settings: Settings) -> Target | None:
    if wishes.url is None:
        if wishes.user or wishes.cookie or wishes.facility:
            raise ValueError("--user, --cookie and --facility need the address of the site.")
        return None
    facility = wishes.facility or f"{OWN_FACILITY}{secrets.token_hex(4)}"
    return Target.parse(wishes.url, settings.websocket_url, facility)


def _travel(wishes: Wishes, target: Target, settings: Settings) -> Iterator[Finding]:
    if wishes.cookie is not None:
        yield from journey.travel(_plan(wishes, target, wishes.cookie, ()), settings)
        return
    with ExitStack() as stack:
        try:
            cookie = stack.enter_context(visitor.session_cookie(wishes.user))
        except visitor.UnknownUser:
            raise
        except Exception as error:
            # Whatever a database, a cache or an engine of the site's own raises.
            yield _no_session(error)
            cookie = ""
        own = _own_flags(wishes) if cookie else ()
        yield from journey.travel(_plan(wishes, target, cookie, own), settings)


def _own_flags(wishes: Wishes) -> tuple[str, ...]:
    """Return the flags that only this visitor's cookie gets."""
    session = ("subscribe-session",) if visitor.has_session_audience() else ()
    return (*session, "subscribe-user") if wishes.user is not None else session


def _no_session(error: Exception) -> Finding:
    return Finding(
        "session",
        Level.PROBLEM,
        f"The site's session store fails: {error}",
        "See that what SESSION_ENGINE needs is there, and that manage.py migrate was run.",
    )


def _plan(wishes: Wishes, target: Target, cookie: str, own: tuple[str, ...]) -> journey.Plan:
    return journey.Plan(
        target=target,
        cookie=cookie,
        timeout=wishes.timeout,
        insecure=wishes.insecure,
        quick=wishes.quick,
        persists=wishes.facility is None and target.facility.startswith(OWN_FACILITY),
        own=own,
    )


def _place(client: Any) -> str:
    database = client.connection_pool.connection_kwargs.get("db", 0)
    return f"{address_of(client)}, db {database}"
