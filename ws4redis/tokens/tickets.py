"""One-time tickets: a view hands one out, and it opens one websocket within half a minute.

So no token that lasts stands in an address, which servers and proxies write into their logs. Redis,
its own logs and whoever may read it see neither a ticket nor whose it is: its key is a hash of the
ticket, and only the ticket opens what lies there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import operator
import re
import secrets
from dataclasses import asdict
from typing import Any

from django.views.decorators.debug import sensitive_variables

from ws4redis.conf import get_settings
from ws4redis.redis_client import bus_errors, get_client
from ws4redis.tokens.login import Login

LIFETIME = 30
"""Seconds until a ticket that nobody used is none any more."""

SIZE = 32
"""Random bytes of a ticket."""

_TICKET = re.compile(r"[\w-]{43}", re.ASCII)
"""How these are written."""


@sensitive_variables()
def issue(user: Any, session: Any = None) -> str:
    """Return a new ticket for a user.

    Args:
        user: Who is logged in.
        session: ``request.session``. If it is the one that has logged in the user, the ticket, and
            the websocket that it opens, end with it, as at a logout.

    Raises:
        BusError: Redis is away.
        ValueError: It is no user that is logged in.
    """
    if not user.is_authenticated:
        raise ValueError("Only who is logged in gets a ticket.")
    ticket = secrets.token_urlsafe(SIZE)
    login = json.dumps(asdict(Login.of(user, session))).encode()
    client = get_client()
    with bus_errors(client):
        client.set(_key(ticket), base64.b64encode(_sealed(ticket, login)), ex=LIFETIME)
    return ticket


@sensitive_variables()
def authenticate(token: str) -> Any:
    """Return the user of a ticket, and make it worthless; None if it is so already.

    It is also worthless when its user has got another password meanwhile, or its session has ended.

    Raises:
        BusError: Redis is away.
    """
    # What is no ticket is nothing that Redis should see.
    if not _TICKET.fullmatch(token):
        return None
    login = _take_back(token)
    return None if login is None else login.find()


def _take_back(ticket: str) -> Login | None:
    client, key = get_client(), _key(ticket)
    # One transaction, as GETDEL is unknown before Redis 6.2.
    with bus_errors(client), client.pipeline(transaction=True) as transaction:
        transaction.get(key)
        transaction.delete(key)
        kept, _ = transaction.execute()
    if kept is None:
        return None
    return Login(**json.loads(_sealed(ticket, base64.b64decode(kept))))


def _key(ticket: str) -> str:
    return get_settings().namespace.derived("ticket", hashlib.sha256(ticket.encode()).hexdigest())


def _sealed(ticket: str, text: bytes) -> bytes:
    """Return what nobody can read without the ticket; done once more, it is the text again.

    A ticket seals one text, so its hash is as good as a one-time pad.
    """
    pad = hashlib.shake_256(ticket.encode()).digest(len(text))
    return bytes(map(operator.xor, text, pad))
