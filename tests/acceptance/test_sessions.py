"""Whose websocket it is, by each of Django's session stores, and by none that is there no more."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.core import signing
from django.core.cache import caches
from django.test import Client, override_settings

from tests import backends, broken_sessions
from tests.acceptance.test_facility import assert_nothing_arrives, publish, receive
from tests.raw import RawClient
from tests.servers import RedisServer, Server, serving

ENGINES = "django.contrib.sessions.backends"
STORES = ("db", "cached_db", "cache", "file", "signed_cookies")
FLAGS = "subscribe-user&subscribe-session&subscribe-group&subscribe-broadcast"
NO_USER = "(nobody is logged in)"
NO_SESSION = "subscribe-session (there is no saved session)"
NO_KEY = "subscribe-session (sessions in signed cookies have no lasting key)"

_numbers = itertools.count()


def store_settings(name: str, directory: Path, cache_url: str) -> dict[str, Any]:
    files = directory / "sessions"
    files.mkdir(exist_ok=True)
    cache = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": cache_url}
    return {
        "SESSION_ENGINE": f"{ENGINES}.{name}",
        "SESSION_FILE_PATH": str(files),
        "CACHES": {"default": cache},
    }


@contextmanager
def like_the_site(settings: dict[str, Any]) -> Iterator[None]:
    """Let Django do here what it does where the pages of the site are served."""
    with override_settings(**settings):
        try:
            yield
        finally:
            for cache in caches.all(initialized_only=True):
                disconnect(cache)


def disconnect(cache: Any) -> None:
    """Close the links to Redis that Django would leave to the end of its process."""
    if client := getattr(cache, "_cache", None):
        for pool in client._pools.values():
            pool.disconnect()


@dataclass
class Place:
    """A running site with one of the session stores."""

    store: str
    server: Server
    settings: dict[str, Any]

    @property
    def no_session(self) -> str:
        return NO_KEY if self.store == "signed_cookies" else NO_SESSION

    def session(self, key: str) -> Any:
        return import_module(f"{ENGINES}.{self.store}").SessionStore(key)


@dataclass
class Visitor:
    """Somebody who is logged in."""

    place: Place
    user: User
    key: str

    @property
    def cookie(self) -> str:
        return f"sessionid={self.key}"


@pytest.fixture(scope="module", params=STORES)
def place(
    request: pytest.FixtureRequest, directory: Path, redis_server: RedisServer, users: Any
) -> Iterator[Place]:
    settings = store_settings(request.param, directory, redis_server.url)
    with serving("serve", directory, redis_server.url, **settings) as server:
        yield Place(request.param, server, settings)


def new_user() -> User:
    name = f"visitor{next(_numbers)}"
    return User.objects.create_user(name, password="secret")


def log_in(user: User, settings: dict[str, Any], backend: str | None = None) -> str:
    """Return the key of the session."""
    with like_the_site(settings):
        client = Client()
        client.force_login(user, backend)
        return client.cookies["sessionid"].value


@pytest.fixture
def visitor(place: Place) -> Visitor:
    user = new_user()
    user.groups.add(Group.objects.get(name="chatters"))
    return Visitor(place, user, log_in(user, place.settings))


def test_a_user_and_a_session_get_what_is_theirs(
    visitor: Visitor, facility: str, open_websocket: Any
) -> None:
    server = visitor.place.server
    client = open_websocket(server.url(f"{facility}?{FLAGS}"), visitor.cookie)
    publish(facility, "to the user", users=[visitor.user])
    assert receive(client) == "to the user"
    publish(facility, "to the group", groups=["chatters"])
    assert receive(client) == "to the group"
    publish(facility, "to the session", sessions=[visitor.key])
    if visitor.place.store == "signed_cookies":
        assert client.response.headers["X-WS4Redis-Refused"] == NO_KEY
        assert_nothing_arrives(client, facility)
    else:
        assert "X-WS4Redis-Refused" not in client.response.headers
        assert receive(client) == "to the session"


def deactivate(visitor: Visitor) -> None:
    visitor.user.is_active = False
    visitor.user.save()


def delete(visitor: Visitor) -> None:
    visitor.user.delete()


def change_password(visitor: Visitor) -> None:
    visitor.user.set_password("other")
    visitor.user.save()


def log_out(visitor: Visitor) -> None:
    visitor.place.session(visitor.key).flush()


def expire(visitor: Visitor) -> None:
    session = visitor.place.session(visitor.key)
    if visitor.place.store == "signed_cookies":
        visitor.key = cookie_of_1970(dict(session.items()))
        return
    session.set_expiry(-1)
    session.save()


class Clock1970(signing.TimestampSigner):
    """Signs as if it were the year 1970."""

    def timestamp(self) -> str:
        return signing.b62_encode(1)


def cookie_of_1970(content: dict[str, Any]) -> str:
    signer = Clock1970(salt=f"{ENGINES}.signed_cookies")
    return signer.sign_object(content, compress=True)


def empty(visitor: Visitor) -> None:
    session = visitor.place.session(visitor.key)
    session.clear()
    session.save()
    visitor.key = session.session_key


def forge_hash(visitor: Visitor) -> None:
    session = visitor.place.session(visitor.key)
    session["_auth_user_hash"] = "0" * 64
    session.save()
    visitor.key = session.session_key


def forge_user(visitor: Visitor) -> None:
    """Let the session name another user, whose hash is another one."""
    session = visitor.place.session(visitor.key)
    session["_auth_user_id"] = str(User.objects.get(username="john").pk)
    session.save()
    visitor.key = session.session_key


def forge_backend(visitor: Visitor) -> None:
    session = visitor.place.session(visitor.key)
    session["_auth_user_backend"] = "tests.backends.Forgetful"
    session.save()
    visitor.key = session.session_key


def tamper(visitor: Visitor) -> None:
    """Change one letter of the cookie."""
    letter = "b" if visitor.key[5] == "a" else "a"
    visitor.key = f"{visitor.key[:5]}{letter}{visitor.key[6:]}"


def mistake(visitor: Visitor) -> None:
    visitor.key = "x" * 32


ENDED: dict[Callable[[Visitor], None], bool] = {
    # Whether the session as such stays.
    deactivate: True,
    delete: True,
    change_password: False,
    log_out: False,
    expire: False,
    empty: True,
    forge_hash: False,
    forge_user: False,
    forge_backend: True,
    tamper: False,
    mistake: False,
}


@pytest.mark.parametrize("end", ENDED, ids=lambda end: end.__name__)
def test_whose_login_has_ended_is_a_visitor(
    visitor: Visitor, facility: str, open_websocket: Any, end: Callable[[Visitor], None]
) -> None:
    place = visitor.place
    if end is log_out and place.store == "signed_cookies":
        pytest.skip("a copy of such a cookie stays good, as Django's documentation says")
    name, key = visitor.user.username, visitor.key
    with like_the_site(place.settings):
        end(visitor)
    client = open_websocket(place.server.url(f"{facility}?{FLAGS}"), visitor.cookie)
    refused = {f"subscribe-user {NO_USER}", f"subscribe-group {NO_USER}"}
    if place.store == "signed_cookies" or not ENDED[end]:
        refused.add(place.no_session)
    assert set(client.response.headers["X-WS4Redis-Refused"].split(", ")) == refused
    publish(facility, "for the user", users=[name, "john", "AnonymousUser", "None"])
    publish(facility, "for the group", groups=["chatters"])
    if not ENDED[end]:
        publish(facility, "for the session", sessions=[key, visitor.key])
    assert_nothing_arrives(client, facility)
    assert "Traceback" not in place.server.log


@pytest.mark.parametrize(
    "cookie",
    [
        "sessionid=",
        'sessionid=""',
        "sessionid",
        "sessionid=a",
        "sessionid=None",
        "sessionid=../../../../etc/passwd",
        "sessionid=..%2f..%2fetc%2fpasswd",
        "sessionid=a:b:c",
        "sessionid=\xfc\xfc\xfc\xfc\xfc\xfc\xfc\xfc",
        "sessionid=' OR 1=1 --",
        "sessionid=*",
        f"sessionid={'a' * 4000}",
        "sessionid=\t",
        "=" * 100,
        ";" * 100,
        "SESSIONID=x",
    ],
    ids=lambda cookie: ascii(cookie)[1:30],
)
def test_a_cookie_that_is_no_key_is_none(place: Place, facility: str, cookie: str) -> None:
    flags = "subscribe-user&subscribe-session&subscribe-broadcast"
    answer = RawClient.ask(place.server, f"/ws/{facility}?{flags}", {"Cookie": cookie})
    assert answer.startswith("HTTP/1.1 101 ")
    assert f"subscribe-user {NO_USER}" in answer
    assert place.no_session in answer
    assert "Traceback" not in place.server.log


@pytest.mark.parametrize("store", ["db", "cached_db", "file"])
def test_what_somebody_wrote_into_the_store_is_no_login(
    store: str,
    directory: Path,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    settings = store_settings(store, directory, redis_server.url)
    key = log_in(new_user(), settings)
    with like_the_site(settings):
        caches["default"].delete(f"django.contrib.sessions.cached_db{key}")
    with serving("serve", tmp_path, redis_server.url, **settings) as server:
        for content in forgeries():
            Session.objects.filter(session_key=key).update(session_data=content)
            if store == "file":
                (directory / "sessions" / f"sessionid{key}").write_text(content)
            address = server.url(f"{facility}?{FLAGS}")
            client = open_websocket(address, f"sessionid={key}")
            assert f"subscribe-user {NO_USER}" in client.response.headers["X-WS4Redis-Refused"]
        assert "Traceback" not in server.log


def forgeries() -> list[str]:
    """Return contents that nobody with the site's key has signed."""
    john = User.objects.get(username="john")
    content = {
        "_auth_user_id": str(john.pk),
        "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
        "_auth_user_hash": john.get_session_auth_hash(),
    }
    salt = "django.contrib.sessions.SessionStore"
    good = signing.dumps(content, salt=salt)
    return [
        "x",
        "not:signed:atall",
        f"{good[:-1]}{'a' if good[-1] != 'a' else 'b'}",
        signing.dumps(content, salt="another salt"),
        signing.dumps(content, key="another key", salt=salt),
    ]


@pytest.mark.parametrize(
    ("backend", "status", "secret"),
    [
        ("tests.backends.Failing", 500, backends.SECRET),
        ("tests.backends.Quitting", 500, backends.SECRET),
        ("tests.backends.Refusing", 403, ""),
    ],
)
def test_a_backend_that_can_not_tell_the_user_refuses(
    backend: str,
    status: int,
    secret: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
) -> None:
    settings = {"AUTHENTICATION_BACKENDS": [backend]}
    key = log_in(new_user(), settings, backend)
    with serving("serve", tmp_path, redis_server.url, **settings) as server:
        address = f"/ws/{facility}?subscribe-broadcast"
        answer = RawClient.ask(server, address, {"Cookie": f"sessionid={key}"})
        assert answer.startswith(f"HTTP/1.1 {status} ")
        assert backends.SECRET not in answer
        assert secret in server.log
        # Who needs no backend gets in.
        assert RawClient.ask(server, address, {}).startswith("HTTP/1.1 101 ")


@pytest.mark.parametrize("kind", ["serve", "uwsgi", "gunicorn-gevent"])
def test_a_store_that_fails_or_hangs_lets_nobody_in(
    kind: str, tmp_path: Path, redis_server: RedisServer, users: Any, facility: str
) -> None:
    # The first one of a process has to import what it needs, in that time.
    settings = {"SESSION_ENGINE": "tests.broken_sessions", "WS4REDIS_HOOK_TIMEOUT": 3}
    with serving(kind, tmp_path, redis_server.url, **settings) as server:
        address = f"/ws/{facility}?subscribe-broadcast"
        for beginning, status, reason in (
            ("raise", 500, broken_sessions.SECRET),
            ("hang", 503, "longer than WS4REDIS_HOOK_TIMEOUT"),
        ):
            cookie = f"sessionid={beginning:x<32}"
            answer = RawClient.ask(server, address, {"Cookie": cookie})
            assert answer.startswith(f"HTTP/1.1 {status} ")
            assert broken_sessions.SECRET not in answer
            assert reason in server.log
        assert RawClient.ask(server, address, {}).startswith("HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("store", "number", "answers"),
    [
        # Django's own store takes a cache that is away for one that holds nothing.
        ("cache", signal.SIGTERM, {"101"}),
        ("cached_db", signal.SIGTERM, {"500"}),
        ("cache", signal.SIGSTOP, {"503"}),
        ("cached_db", signal.SIGSTOP, {"503"}),
    ],
)
def test_a_cache_that_is_away_or_frozen_lets_nobody_in(
    store: str,
    number: int,
    answers: set[str],
    tmp_path: Path,
    directory: Path,
    redis_server: RedisServer,
    own_redis: RedisServer,
    users: Any,
    facility: str,
) -> None:
    settings = store_settings(store, directory, own_redis.url)
    key = log_in(new_user(), settings)
    if number == signal.SIGSTOP:
        settings["WS4REDIS_HOOK_TIMEOUT"] = 0.5
    with serving("serve", tmp_path, redis_server.url, **settings) as server:
        assert own_redis.process is not None
        if number == signal.SIGTERM:
            own_redis.stop()
        else:
            own_redis.process.send_signal(number)
        try:
            address = f"/ws/{facility}?subscribe-user&subscribe-session&subscribe-broadcast"
            answer = RawClient.ask(server, address, {"Cookie": f"sessionid={key}"})
            assert answer.split()[1] in answers
            assert "redis" not in answer.replace("X-WS4Redis-Refused", "").lower()
            if " 101 " in answer:
                assert f"subscribe-user {NO_USER}" in answer
            assert f"'/ws/{facility}'" in server.log
        finally:
            if own_redis.process is not None:
                own_redis.process.send_signal(signal.SIGCONT)


def test_a_database_that_is_away_lets_nobody_in(
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WS4REDIS_TEST_DB", str(tmp_path / "missing" / "database"))
    with serving("serve", tmp_path, redis_server.url) as server:
        address = f"/ws/{facility}?subscribe-broadcast"
        answer = RawClient.ask(server, address, {"Cookie": f"sessionid={'a' * 32}"})
        assert answer.startswith("HTTP/1.1 500 ")
        assert answer.endswith("\r\n\r\nInternal error.\n")
        assert "unable to open database file" in server.log
