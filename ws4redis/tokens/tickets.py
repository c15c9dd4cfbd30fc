"""One-time tickets: a view hands one out, and it opens one websocket within half a minute.

So no token that lasts stands in an address, which servers and proxies write into their logs.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from django.utils.crypto import constant_time_compare
from django.views.decorators.debug import sensitive_variables

from ws4redis.conf import get_settings
from ws4redis.identity import user_id
from ws4redis.redis_client import bus_errors, get_client

LIFETIME = 30
"""Seconds until a ticket that nobody used is none any more."""


def issue(user: Any) -> str:
    """Return a new ticket for a user.

    Raises:
        BusError: Redis is away.
        ValueError: It is no user that is logged in.
    """
    if not user.is_authenticated:
        raise ValueError("Only who is logged in gets a ticket.")
    ticket = secrets.token_urlsafe(32)
    holder = {"user": user_id(user), "hash": user.get_session_auth_hash()}
    client = get_client()
    with bus_errors(client):
        client.set(_key(ticket), json.dumps(holder), ex=LIFETIME)
    return ticket


@sensitive_variables("token", "ticket")
def authenticate(token: str) -> Any:
    """Return the user of a ticket, and make it worthless; None if it is so already.

    It is also worthless when its user has got another password meanwhile.

    Raises:
        BusError: Redis is away, or older than 6.2.
    """
    client = get_client()
    with bus_errors(client):
        holder: Any = client.getdel(_key(token))
    return None if holder is None else _user(json.loads(holder))


def _user(holder: dict[str, str]) -> Any:
    from django.contrib.auth import get_user_model  # needs the app registry

    user: Any = get_user_model()._default_manager.filter(pk=holder["user"]).first()
    if user is None or not constant_time_compare(user.get_session_auth_hash(), holder["hash"]):
        return None
    return user


def _key(ticket: str) -> str:
    return get_settings().namespace.derived("ticket", ticket)
