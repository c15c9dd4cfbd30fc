"""Who is behind a websocket: what its handshake notes, so that changes can be found out later."""

from __future__ import annotations

import importlib
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore

from ws4redis.audiences import Unresolved, own_user
from ws4redis.groups import groups_field
from ws4redis.loop.admission import ANONYMOUS, Identity

USER_KEY = "_auth_user_id"
"""Where Django keeps the primary key of the user in a session."""

_SESSION = "_ws4redis_session"
"""Where a user has the session for which a request without one stands."""


def identify(request: Any) -> Identity:
    """Return who a request comes from.

    Args:
        request: Has its ``session`` and ``user``.
    """
    user = request.user
    # Asked first: a lazy user loads the session, which drops the key of one that does not exist.
    is_authenticated = user.is_authenticated
    session = getattr(user, _SESSION, request.session)
    key = session_key(session)
    if not is_authenticated:
        return Identity(session=key) if key else ANONYMOUS
    name = _name(request)
    if not is_stored(user):
        return Identity(user=name, session=key)
    in_session = bool(key) and is_login(session, user)
    return Identity(name, user_id(user), key, in_session, rights(user))


def remember_session(user: Any, session: SessionBase) -> None:
    """Let a user's websocket end with a session that its request has not."""
    setattr(user, _SESSION, session)


def remembered_session(user: Any) -> Any:
    """Return what ``remember_session`` has noted; None if it has not."""
    return getattr(user, _SESSION, None)


def session_store() -> Any:
    """Return the class of the site's sessions."""
    return importlib.import_module(django_settings.SESSION_ENGINE).SessionStore


def user_id(user: Any) -> str:
    """Return the primary key of a stored user, as Django writes it into sessions."""
    return str(user._meta.pk.value_to_string(user))


def rights(user: Any) -> int:
    """Return a number that changes with all that the rights of a stored user depend on.

    That is the name, the flags, the groups, and the password, as who has a new one has a reason.
    """
    flags = (getattr(user, "is_staff", False), getattr(user, "is_superuser", False))
    # The class of a lazy user, as Django's middleware sets it, is not that of the user.
    groups = user.groups.all() if groups_field(user._meta.model) is not None else ()
    names = sorted(str(getattr(group, "name", group.pk)) for group in groups)
    return hash((user.get_username(), getattr(user, "password", ""), *flags, *names))


def is_login(session: Any, user: Any) -> bool:
    """Return whether it is this session that says who the user is."""
    return bool(session.get(USER_KEY) == user_id(user))


def session_key(session: Any) -> str:
    """Return the key by which a session is found again; empty if it can't be."""
    if not isinstance(session, SessionBase):
        return ""
    if isinstance(session, CookieStore) and not session.keys():
        # Whatever the cookie said was no session, or has expired.
        return ""
    return session.session_key or ""


def _name(request: Any) -> str:
    try:
        return own_user(request)[0]
    except Unresolved:
        return ""


def is_stored(user: Any) -> bool:
    """Return whether a user is one of Django's, so that what becomes of it can be found out."""
    if not apps.is_installed("django.contrib.auth"):
        return False
    from django.contrib.auth import get_user_model  # there may be no users at all

    return isinstance(user, get_user_model()) and user.pk is not None
