"""Tells all websocket loops whose rights changed, so that open websockets follow.

What Django signals is told when its transaction commits; ``kick`` closes whatever it names. If
Redis can't be reached, the change itself succeeds: the loops find out at their next sweep.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore
from django.db import transaction
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete

from ws4redis.audiences import resolve, texts
from ws4redis.conf import get_settings
from ws4redis.exceptions import BusError
from ws4redis.groups import groups_field
from ws4redis.identity import user_id
from ws4redis.proxies import UNIX
from ws4redis.redis_client import address_of, bus_errors, get_client

logger = logging.getLogger(__name__)

MANY = 1000
"""Users beyond which the loops look at everybody instead."""

Order = dict[str, dict[str, Any]]
"""What the loops are to do with whom; see ``ws4redis.loop.sweep``."""

PAUSE = 5.0
"""Seconds for which nothing is told after Redis could not be reached; the sweep finds it then."""

_away_until: dict[str, float] = {}
"""By the address of Redis."""
_HARMLESS = frozenset({"last_login"})
"""Fields whose change says nothing about rights: Django saves this one at each login."""


def kick(
    *, users: Iterable[str] = (), sessions: Iterable[str] = (), addresses: Iterable[str] = ()
) -> int:
    """Close open websockets on all processes; their clients do not come back by themselves.

    Args:
        users: Users, or their names.
        sessions: Keys of sessions.
        addresses: Addresses of clients, as the log shows them.

    Returns:
        How many processes were told.

    Raises:
        BusError: Redis can't be reached.
        TypeError: An argument is no list of such texts, or holds an empty or an impossible one.
    """
    resolved = resolve(None, users=users, sessions=sessions)
    whom = {"names": resolved["users"], "sessions": resolved["sessions"]}
    places = [_address(text) for text in texts("addresses", addresses)]
    return _tell({"kick": whom | {"addresses": places}})


def _address(text: str) -> str:
    """Return an address as the loop writes it."""
    if text == UNIX:
        return text
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise TypeError(
            f"addresses must hold addresses such as '203.0.113.7', or {UNIX!r}, got {text!r}."
        ) from None


def connect() -> None:
    """Listen to Django's signals about users, groups and logouts."""
    user = get_user_model()
    user_logged_out.connect(_on_logout, dispatch_uid="ws4redis.logout")
    for model in _kinds_of(user):
        post_save.connect(_on_save, sender=model, dispatch_uid="ws4redis.save")
        post_delete.connect(_on_delete, sender=model, dispatch_uid="ws4redis.delete")
    if (field := groups_field(user)) is not None:
        through = field.remote_field.through
        m2m_changed.connect(_on_membership, sender=through, dispatch_uid="ws4redis.membership")
        for model in _kinds_of(field.related_model):
            for signal in (post_save, pre_delete):
                signal.connect(_on_group, sender=model, dispatch_uid="ws4redis.group")


def _kinds_of(model: type) -> list[type]:
    """Return a model and all that are one of it, such as its proxies: each is a sender of its own.

    (Without a sender, Django could delete nothing of any model without loading it.)
    """
    return [kind for kind in apps.get_models() if issubclass(kind, model)]


def _on_logout(*, request: Any, user: Any, **_: Any) -> None:
    session = getattr(request, "session", None)
    if isinstance(session, CookieStore):
        # Its key is its content and changes with it, so the session can't be found by it.
        if user is not None:
            _report({"renew": {"users": [user_id(user)]}})
    elif session is not None and session.session_key:
        _report({"kick": {"sessions": [session.session_key]}})


def _on_save(*, instance: Any, created: bool, update_fields: Any, using: str, **_: Any) -> None:
    is_harmless = update_fields is not None and _HARMLESS.issuperset(update_fields)
    if not created and not is_harmless:
        _check([instance], using)


def _on_delete(*, instance: Any, using: str, **_: Any) -> None:
    _check([instance], using)


def _on_membership(
    *, instance: Any, action: str, reverse: bool, pk_set: Any, using: str, **_: Any
) -> None:
    users: list[Any] = []
    if reverse and action == "pre_clear":
        users = _members(instance, using)
    elif action.startswith("post_"):
        users = [get_user_model()(pk=key) for key in pk_set or ()] if reverse else [instance]
    _check(users, using)


def _on_group(*, instance: Any, using: str, created: bool = False, **_: Any) -> None:
    if not created:
        _check(_members(instance, using), using)


def _members(group: Any, using: str) -> list[Any]:
    users = get_user_model()._default_manager.using(using).filter(groups=group)
    return list(users.only("pk")[: MANY + 1])


def _check(users: Sequence[Any], using: str) -> None:
    """Let the loops look at users again, once the change is in the database."""
    if len(users) > MANY:
        _report({"check": {"everybody": True}}, using)
    elif users:
        _report({"check": {"users": [user_id(user) for user in users]}}, using)


def _report(order: Order, using: str | None = None) -> None:
    # on_commit() outside of a transaction needs the database, and refuses without autocommit.
    if transaction.get_connection(using).in_atomic_block:
        transaction.on_commit(partial(_try_to_tell, order), using=using)
    else:
        _try_to_tell(order)


def _try_to_tell(order: Order) -> None:
    """Tell it, unless Redis was away just now: who saves many users must not wait for each."""
    address = address_of(get_client())
    if time.monotonic() < _away_until.get(address, 0.0):
        return
    try:
        _tell(order)
    except BusError as error:
        _away_until[address] = time.monotonic() + PAUSE
        logger.error("Open websockets follow a change of rights late: %s", error)


def _tell(order: Order) -> int:
    client, payload = get_client(), json.dumps(order)
    with bus_errors(client):
        count: int = client.publish(get_settings().namespace.control, payload)
    return count
