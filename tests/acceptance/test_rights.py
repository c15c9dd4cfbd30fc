"""Open websockets follow what becomes of their session, their user and its groups."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.backends.file import SessionStore as FileStore
from django.test import Client, override_settings
from django.utils import timezone
from websockets.exceptions import ConnectionClosed

from tests.acceptance.test_facility import publish, receive
from tests.servers import RedisServer, Server, serving
from tests.waiting import PATIENCE

EXPELLED, RIGHTS_CHANGED = 4501, 4001
NEVER = 3600.0
SERVERS = ("serve", "serve-workers", "uwsgi", "runserver")

_names = itertools.count()


class Member:
    """A user of a test's own, in the group ``chatters``, logged in once."""

    def __init__(self) -> None:
        from django.contrib.auth.models import Group, User

        self.name = f"member{next(_names)}"
        self.user = User.objects.create_user(self.name, password="secret")
        self.group = Group.objects.get(name="chatters")
        self.user.groups.add(self.group)
        self.browser = Client()
        self.browser.force_login(self.user)

    @property
    def key(self) -> str:
        return str(self.browser.cookies["sessionid"].value)

    @property
    def cookie(self) -> str:
        return f"sessionid={self.key}"


@pytest.fixture(scope="module")
def server(directory: Path, redis_server: RedisServer, users: Any) -> Iterator[Server]:
    """A server that looks at its websockets only when it is told to."""
    settings = {"WS4REDIS_AUTH_SWEEP": NEVER, "WEBSOCKET_URLCONF": "tests.websocket_urls"}
    with serving("serve", directory, redis_server.url, **settings) as running:
        yield running


@pytest.fixture
def member(users: Any) -> Member:
    return Member()


def code(websocket: Any) -> int:
    """Return the code with which the server closes a websocket."""
    with pytest.raises(ConnectionClosed) as closed:
        websocket.recv(timeout=PATIENCE)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def assert_open(websocket: Any, facility: str) -> None:
    publish(facility, "still here")
    assert receive(websocket) == "still here"


def log_out(member: Member) -> None:
    member.browser.logout()


def change_password(member: Member) -> None:
    member.user.set_password("another")
    member.user.save()


def deactivate(member: Member) -> None:
    member.user.is_active = False
    member.user.save()


def delete(member: Member) -> None:
    member.user.delete()


def rename(member: Member) -> None:
    member.user.username += "-married"
    member.user.save()


def promote(member: Member) -> None:
    member.user.is_staff = True
    member.user.save()


def leave_group(member: Member) -> None:
    member.user.groups.remove(member.group)


def clear_groups(member: Member) -> None:
    member.user.groups.clear()


def be_put_into_group(member: Member) -> None:
    from django.contrib.auth.models import Group

    Group.objects.create(name=f"of {member.name}").user_set.add(member.user)


def be_put_out_of_group(member: Member) -> None:
    member.group.user_set.remove(member.user)


def lose_group(member: Member) -> None:
    from django.contrib.auth.models import Group

    Group.objects.get(name=f"club of {member.name}").delete()


CHANGES: list[tuple[Callable[[Member], None], int]] = [
    (log_out, EXPELLED),
    (change_password, EXPELLED),
    (deactivate, EXPELLED),
    (delete, EXPELLED),
    (rename, RIGHTS_CHANGED),
    (promote, RIGHTS_CHANGED),
    (leave_group, RIGHTS_CHANGED),
    (clear_groups, RIGHTS_CHANGED),
    (be_put_into_group, RIGHTS_CHANGED),
    (be_put_out_of_group, RIGHTS_CHANGED),
    (lose_group, RIGHTS_CHANGED),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_a_change_reaches_the_open_websockets_of_its_user_only(
    change: Callable[[Member], None],
    expected: int,
    server: Server,
    member: Member,
    facility: str,
    open_websocket: Any,
) -> None:
    from django.contrib.auth.models import Group

    member.user.groups.add(Group.objects.create(name=f"club of {member.name}"))
    url = server.url(f"{facility}?subscribe-broadcast")
    other = open_websocket(url, Member().cookie)
    stranger = open_websocket(url)
    mine = [open_websocket(url, member.cookie) for _ in range(3)]
    change(member)
    assert [code(websocket) for websocket in mine] == [expected] * 3
    assert_open(other, facility)
    assert receive(stranger) == "still here"


@pytest.mark.parametrize(
    ("change", "expected"), [(log_out, EXPELLED), (clear_groups, RIGHTS_CHANGED)]
)
def test_a_change_reaches_views(
    change: Callable[[Member], None],
    expected: int,
    server: Server,
    member: Member,
    open_websocket: Any,
) -> None:
    url = server.address("/echo/")
    mine, stranger = open_websocket(url, member.cookie), open_websocket(url)
    change(member)
    assert code(mine) == expected
    stranger.send("still here")
    assert receive(stranger) == "still here"


def test_what_changes_no_rights_disturbs_nobody(
    server: Server, member: Member, facility: str, open_websocket: Any
) -> None:
    websocket = open_websocket(server.url(f"{facility}?subscribe-broadcast"), member.cookie)
    member.user.email = "someone@example.com"
    member.user.save()
    Client().force_login(member.user)
    # A change of rights that comes later is told behind the others.
    other = Member()
    expelled = open_websocket(server.url(facility), other.cookie)
    deactivate(other)
    assert code(expelled) == EXPELLED
    assert_open(websocket, facility)


def test_a_logout_ends_the_websockets_of_its_session_only(
    server: Server, member: Member, facility: str, open_websocket: Any
) -> None:
    url = server.url(f"{facility}?subscribe-broadcast")
    elsewhere = Client()
    elsewhere.force_login(member.user)
    here = open_websocket(url, member.cookie)
    there = open_websocket(url, f"sessionid={elsewhere.cookies['sessionid'].value}")
    log_out(member)
    assert code(here) == EXPELLED
    assert_open(there, facility)


def test_a_change_that_is_rolled_back_is_none(
    server: Server, member: Member, facility: str, open_websocket: Any
) -> None:
    from django.db import transaction

    websocket = open_websocket(server.url(f"{facility}?subscribe-broadcast"), member.cookie)
    with transaction.atomic():
        deactivate(member)
        transaction.set_rollback(True)
    other = Member()
    expelled = open_websocket(server.url(facility), other.cookie)
    deactivate(other)
    assert code(expelled) == EXPELLED
    assert_open(websocket, facility)


@pytest.mark.parametrize("kind", SERVERS)
def test_every_process_of_every_server_is_told(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    member: Member,
    facility: str,
    open_websocket: Any,
) -> None:
    with serving(kind, tmp_path, redis_server.url, WS4REDIS_AUTH_SWEEP=NEVER) as server:
        url = server.url(f"{facility}?subscribe-user&subscribe-session")
        websockets = [open_websocket(url, member.cookie) for _ in range(8)]
        log_out(member)
        assert [code(websocket) for websocket in websockets] == [EXPELLED] * 8
        assert "Traceback" not in server.log


@pytest.mark.parametrize("whom", ["user", "session", "address"])
def test_kick_closes_whom_it_names(
    whom: str,
    tmp_path: Path,
    own_redis: RedisServer,
    member: Member,
    facility: str,
    open_websocket: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from django.core.management import call_command

    settings = {"WS4REDIS_TRUSTED_PROXIES": ["127.0.0.1"]}
    forwarded = {"X-Forwarded-For": "203.0.113.7"}
    named = {"user": member.name, "session": member.key, "address": "203.0.113.7"}
    with serving("serve", tmp_path, own_redis.url, **settings) as server:
        url = server.url(facility)
        websocket = open_websocket(url, member.cookie, headers=forwarded)
        other = open_websocket(url, Member().cookie)
        with override_settings(WS4REDIS_CONNECTION=own_redis.url):
            call_command("ws4redis", "kick", f"--{whom}", named[whom])
        assert code(websocket) == EXPELLED
        assert "Told 1 websocket process." in capsys.readouterr().out
        assert other.ping().wait(PATIENCE)


def test_kick_wants_to_know_whom() -> None:
    from django.core.management import CommandError, call_command

    with pytest.raises(CommandError, match="--user NAME"):
        call_command("ws4redis", "kick")


def test_while_redis_is_away_a_change_succeeds_and_is_found_later(
    tmp_path: Path,
    own_redis: RedisServer,
    member: Member,
    facility: str,
    open_websocket: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving("serve", tmp_path, own_redis.url, WS4REDIS_AUTH_SWEEP=NEVER) as server:
        websocket = open_websocket(server.url(facility), member.cookie)
        own_redis.stop()
        with override_settings(WS4REDIS_CONNECTION=own_redis.url):
            deactivate(member)
        assert "follow a change of rights late" in caplog.text
        own_redis.start()
        assert code(websocket) == EXPELLED


def test_a_user_without_a_session_is_watched_too(
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    settings = {"WS4REDIS_PROCESS_REQUEST": "tests.policies.by_header"}
    with serving("serve", tmp_path, redis_server.url, **settings) as server:
        stays, leaves = Member(), Member()
        url = server.url(f"{facility}?subscribe-broadcast")
        first, second = (
            open_websocket(url, headers={"X-User": one.name}) for one in (stays, leaves)
        )
        # Their session ends, which here says nothing of who they are.
        log_out(stays)
        deactivate(leaves)
        assert code(second) == EXPELLED
        assert_open(first, facility)


def expire(member: Member) -> None:
    from django.contrib.sessions.models import Session

    past = timezone.now() - timedelta(seconds=1)
    Session.objects.filter(session_key=member.key).update(expire_date=past)


def delete_session(member: Member) -> None:
    from django.contrib.sessions.models import Session

    Session.objects.filter(session_key=member.key).delete()


def deactivate_silently(member: Member) -> None:
    from django.contrib.auth.models import User

    User.objects.filter(pk=member.user.pk).update(is_active=False)


def change_password_silently(member: Member) -> None:
    from django.contrib.auth.models import User

    User.objects.filter(pk=member.user.pk).update(password="!another")


def leave_group_silently(member: Member) -> None:
    member.user.groups.through.objects.filter(user=member.user).delete()


SILENT_CHANGES: list[tuple[Callable[[Member], None], int]] = [
    (expire, EXPELLED),
    (delete_session, EXPELLED),
    (deactivate_silently, EXPELLED),
    (change_password_silently, EXPELLED),
    (leave_group_silently, RIGHTS_CHANGED),
]


@pytest.fixture(scope="module")
def sweeping(directory: Path, redis_server: RedisServer, users: Any) -> Iterator[Server]:
    """A server that looks at all its websockets every second."""
    with serving("serve", directory, redis_server.url, WS4REDIS_AUTH_SWEEP=1) as running:
        yield running


@pytest.mark.parametrize(("change", "expected"), SILENT_CHANGES)
def test_what_nobody_tells_is_found_by_the_sweep(
    change: Callable[[Member], None],
    expected: int,
    sweeping: Server,
    member: Member,
    facility: str,
    open_websocket: Any,
) -> None:
    url = sweeping.url(f"{facility}?subscribe-broadcast")
    websocket = open_websocket(url, member.cookie)
    other = open_websocket(url, Member().cookie)
    change(member)
    assert code(websocket) == expected
    assert_open(other, facility)


def test_an_anonymous_websocket_comes_back_when_its_session_is_gone(
    sweeping: Server, users: Any, facility: str, open_websocket: Any
) -> None:
    from django.contrib.sessions.backends.db import SessionStore

    session = SessionStore()
    session["basket"] = 1
    session.save()
    url = sweeping.url(f"{facility}?subscribe-session")
    websocket = open_websocket(url, f"sessionid={session.session_key}")
    session.delete()
    assert code(websocket) == RIGHTS_CHANGED


@pytest.mark.parametrize("engine", ["db", "signed_cookies"])
def test_who_has_no_session_is_not_sent_away_for_it(
    engine: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    settings = {"SESSION_ENGINE": f"django.contrib.sessions.backends.{engine}"}
    with (
        override_settings(**settings),
        serving(
            "serve", tmp_path, redis_server.url, **settings, **{"WS4REDIS_AUTH_SWEEP": 1}
        ) as server,
    ):
        url = server.url(f"{facility}?subscribe-broadcast")
        stranger = open_websocket(url, "sessionid=invented:or:expired")
        # So many looks have passed by then.
        for _ in range(2):
            banned = Member()
            websocket = open_websocket(url, banned.cookie)
            deactivate_silently(banned)
            assert code(websocket) == EXPELLED
        assert_open(stranger, facility)


ENGINES = ("db", "cached_db", "cache", "file", "signed_cookies")


@pytest.mark.parametrize("engine", ENGINES)
def test_every_kind_of_session_is_watched(
    engine: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_websocket: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Django remembers the first one of a process.
    monkeypatch.setattr(FileStore, "_storage_path", str(tmp_path), raising=False)
    settings = {
        "SESSION_ENGINE": f"django.contrib.sessions.backends.{engine}",
        "SESSION_FILE_PATH": str(tmp_path),
        "CACHES": {
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": redis_server.url,
            }
        },
    }
    sweep = {"WS4REDIS_AUTH_SWEEP": 1}
    with ExitStack() as stack:
        stack.enter_context(override_settings(**settings))
        server = stack.enter_context(
            serving("serve", tmp_path, redis_server.url, **settings, **sweep)
        )
        url = server.url(f"{facility}?subscribe-broadcast")
        stays, leaves, banned = Member(), Member(), Member()
        websockets = [open_websocket(url, one.cookie) for one in (stays, leaves, banned)]
        log_out(leaves)
        deactivate_silently(banned)
        # A signed cookie can't be called back: the browser has lost it, others may have it still.
        expected = RIGHTS_CHANGED if engine == "signed_cookies" else EXPELLED
        assert code(websockets[1]) == expected
        assert code(websockets[2]) == EXPELLED
        assert_open(websockets[0], facility)
        assert "Traceback" not in server.log
