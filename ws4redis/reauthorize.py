"""Finds those of the open websockets that may not stay as they are, with one query for many.

What the handshakes noted is compared with what holds now: the sessions, the users, their groups.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.conf import settings as django_settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    get_user_model,
    load_backend,
)
from django.contrib.sessions.backends.cache import SessionStore as CacheSessions
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from ws4redis.groups import groups_field
from ws4redis.identity import USER_KEY, rights, session_store, user_id
from ws4redis.loop.admission import Identity
from ws4redis.redis_store import chunks
from ws4redis.wire.close import CloseCode

CHUNK = 500
"""Keys in one query; SQLite takes a thousand."""

PAUSE_AFTER = 50
"""Verdicts between two pauses; about three milliseconds."""

Data = Mapping[str, Any]

logger = logging.getLogger(__name__)


def judge(identities: Collection[Identity]) -> dict[Identity, int]:
    """Return those that may not stay, each with the close code that tells its client what to do.

    Args:
        identities: As the handshakes noted them.
    """
    sessions = dict(_sessions({one.session for one in identities if one.session}))
    users = dict(_users({one.user_id for one in identities if one.user_id}))
    verdicts = {}
    for number, one in enumerate(identities):
        code = _safe_verdict(one, sessions.get(one.session), users.get(one.user_id))
        if code is not None:
            verdicts[one] = code
        if number % PAUSE_AFTER == 0:
            # Let the hub go on: gevent's in a patched process, and else the interpreter's lock.
            time.sleep(0)
    return verdicts


def _safe_verdict(one: Identity, data: Data | None, user: Any) -> int | None:
    """Let one who can't be judged stay, and not keep the others from being judged."""
    try:
        return _verdict(one, data, user)
    except Exception:
        logger.exception("It can't be found out whether a user may keep a websocket")
        return None


def _verdict(one: Identity, data: Data | None, user: Any) -> int | None:
    """Return the close code for one; None if it may stay.

    Args:
        one: As its handshake noted it.
        data: What its session holds; None if it is gone.
        user: The user as stored; None if it is gone.
    """
    if one.session and data is None:
        # In a signed cookie, only what the browser had then has expired: it may have a newer one.
        may_return = not (one.user or one.user_id) or issubclass(session_store(), CookieStore)
        return CloseCode.RIGHTS_CHANGED if may_return else CloseCode.EXPELLED
    if not one.user_id:
        return None
    if one.in_session and data is not None:
        may_stay = user is not None and _is_logged_in(data, user)
    else:
        may_stay = user is not None and user.is_active
    if not may_stay:
        return CloseCode.EXPELLED
    return CloseCode.RIGHTS_CHANGED if rights(user) != one.rights else None


def _sessions(keys: Collection[str]) -> Iterable[tuple[str, Data]]:
    """Return the keys and the data of those sessions that exist."""
    if not keys:
        return ()
    store = session_store()
    # A site's own way to load is not bypassed.
    if store.load.__module__.startswith("django.contrib.sessions."):
        if hasattr(store, "get_model_class"):
            return _stored_sessions(store, keys)
        if issubclass(store, CacheSessions):
            return _cached_sessions(store, keys)
    return _loaded_sessions(store, keys)


def _stored_sessions(store: Any, keys: Collection[str]) -> Iterator[tuple[str, Data]]:
    model = store.get_model_class()
    for chunk in chunks(keys, CHUNK):
        rows = model.objects.filter(session_key__in=chunk, expire_date__gt=timezone.now())
        for row in rows:
            yield row.session_key, store().decode(row.session_data)


def _cached_sessions(store: Any, keys: Collection[str]) -> Iterator[tuple[str, Data]]:
    prefix, cache = store.cache_key_prefix, store()._cache
    for chunk in chunks(keys, CHUNK):
        for name, data in cache.get_many([prefix + key for key in chunk]).items():
            yield name.removeprefix(prefix), data


def _loaded_sessions(store: Any, keys: Collection[str]) -> Iterator[tuple[str, Data]]:
    for key in keys:
        session = store(key)
        data = session.load()
        # Loading drops the key of a session that does not exist, or what was in its cookie.
        if session.session_key == key and (data or not isinstance(session, CookieStore)):
            yield key, data


def _users(ids: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Yield the ids and those users that exist, with their groups."""
    if not ids:
        return
    model = get_user_model()
    query = model._default_manager.all()
    if groups_field(model) is not None:
        query = query.prefetch_related("groups")
    for chunk in chunks(ids, CHUNK):
        for user in query.filter(pk__in=chunk):
            yield user_id(user), user


def _is_logged_in(data: Data, user: Any) -> bool:
    """Return what ``django.contrib.auth.get_user`` would say of a session and a user."""
    path = data.get(BACKEND_SESSION_KEY, "")
    if data.get(USER_KEY) != user_id(user) or path not in django_settings.AUTHENTICATION_BACKENDS:
        return False
    return _knows(load_backend(path), user) and _has_hash(data, user)


def _knows(backend: Any, user: Any) -> bool:
    """Return whether a backend lets the user in, without a query if it is one of Django's."""
    from django.contrib.auth.backends import ModelBackend  # needs the app registry

    if type(backend).get_user is ModelBackend.get_user:
        return bool(backend.user_can_authenticate(user))
    return backend.get_user(user.pk) is not None


def _has_hash(data: Data, user: Any) -> bool:
    """Return whether the session began with the password that the user has now."""
    if not hasattr(user, "get_session_auth_hash"):
        return True
    good = [user.get_session_auth_hash()]
    if hasattr(user, "get_session_auth_fallback_hash"):
        good += user.get_session_auth_fallback_hash()
    stored = data.get(HASH_SESSION_KEY) or ""
    return any(constant_time_compare(stored, one) for one in good)
