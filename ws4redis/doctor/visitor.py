"""Who opens the websocket: a visitor with a session of their own, perhaps logged in."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore

LIFETIME = 600
"""Seconds after which a session ends that could not be deleted."""


class UnknownUser(ValueError):
    """There is no such user."""


@contextmanager
def session_cookie(username: str | None) -> Iterator[str]:
    """Make a session, hand out its ``Cookie`` header, and delete the session in the end.

    The header is empty where the site has no sessions.

    Args:
        username: Who is logged in; None for nobody.

    Raises:
        UnknownUser: There is no such user, or the site knows no users.
    """
    if not apps.is_installed("django.contrib.sessions"):
        if username is not None:
            raise UnknownUser("The site has no sessions, so nobody can be logged in.")
        yield ""
        return
    session = importlib.import_module(django_settings.SESSION_ENGINE).SessionStore()
    session.update(_login(username) if username is not None else {"ws4redis": "check"})
    session.set_expiry(LIFETIME)
    session.save()
    try:
        yield f"{django_settings.SESSION_COOKIE_NAME}={session.session_key}"
    finally:
        session.delete()


def has_session_audience() -> bool:
    """Whether a session of this site has a lasting key, so that it can be addressed."""
    if not apps.is_installed("django.contrib.sessions"):
        return False
    engine = importlib.import_module(django_settings.SESSION_ENGINE)
    return not issubclass(engine.SessionStore, CookieStore)


def _login(username: str) -> dict[str, Any]:
    """Return what ``django.contrib.auth.login`` puts into a session, without its signals."""
    from django.contrib import auth  # needs the app registry

    model = auth.get_user_model()
    try:
        user = model._default_manager.get_by_natural_key(username)
    except model.DoesNotExist as error:
        raise UnknownUser(f"There is no user {username!r}.") from error
    return {
        auth.SESSION_KEY: user._meta.pk.value_to_string(user),
        auth.BACKEND_SESSION_KEY: django_settings.AUTHENTICATION_BACKENDS[0],
        auth.HASH_SESSION_KEY: user.get_session_auth_hash(),
    }
