from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.contrib.sessions.backends.cache import SessionStore
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore

from ws4redis.audiences import SELF, Unresolved, resolve


def request(user: Any = None, session: Any = None) -> Any:
    return SimpleNamespace(user=user or AnonymousUser(), session=session)


def test_names_users_and_groups_are_taken_as_they_are() -> None:
    found = resolve(
        None,
        broadcast=True,
        groups=["a", Group(name="b")],
        users=("john", User(username="mary")),
        sessions={"key"},
    )
    assert found == {
        "broadcast": True,
        "groups": ["a", "b"],
        "users": ["john", "mary"],
        "sessions": ["key"],
    }


@pytest.mark.parametrize("name", ["groups", "users", "sessions"])
@pytest.mark.parametrize("value", ["john", True, False, None, 3, [3], [None], [""], b"x"])
def test_a_wrong_argument_is_named(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=name):
        resolve(None, **{name: value})


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_broadcast_is_true_or_false(value: Any) -> None:
    with pytest.raises(TypeError, match="broadcast"):
        resolve(None, broadcast=value)


@pytest.mark.parametrize("name", ["groups", "users", "sessions"])
def test_self_without_a_request_is_an_error(name: str) -> None:
    with pytest.raises(Unresolved, match=rf"{name}=\[SELF\] needs request"):
        resolve(None, **{name: [SELF]})


@pytest.mark.parametrize("name", ["groups", "users"])
def test_self_of_nobody_is_an_error_and_no_shared_channel(name: str) -> None:
    with pytest.raises(Unresolved, match="nobody is logged in"):
        resolve(request(), **{name: [SELF]})


@pytest.mark.parametrize("session", [None, SessionStore(), CookieStore("signed-content")])
def test_self_of_a_session_without_a_lasting_key_is_an_error(session: Any) -> None:
    with pytest.raises(Unresolved, match="sessions"):
        resolve(request(session=session), sessions=[SELF])


class Guest(User):
    """A user of a site whose names are no texts, or may be missing."""

    class Meta:
        app_label = "auth"
        proxy = True

    name: Any = None

    def __str__(self) -> str:
        return "a guest"

    def get_username(self) -> Any:
        return self.name


def guest(name: Any) -> Guest:
    user = Guest()
    user.name = name
    return user


@pytest.mark.parametrize("name", [None, ""])
def test_users_without_a_name_share_no_channel(name: Any) -> None:
    with pytest.raises(Unresolved, match="the user has no name"):
        resolve(request(guest(name)), users=[SELF])
    with pytest.raises(TypeError, match="users"):
        resolve(None, users=[guest(name)])


@pytest.mark.parametrize(
    ("name", "identifier"), [(7, "7"), (UUID(int=1), "00000000-0000-0000-0000-000000000001")]
)
def test_a_name_that_is_no_text_addresses_the_same_as_its_text(name: Any, identifier: str) -> None:
    found = resolve(request(guest(name)), users=[SELF, guest(name)])
    assert found["users"] == [identifier] * 2


def test_self_is_the_user_and_the_session_of_the_request() -> None:
    found = resolve(
        request(User(username="john"), SimpleNamespace(session_key="key")),
        users=[SELF, "mary"],
        sessions=[SELF],
    )
    assert (found["users"], found["sessions"]) == (["john", "mary"], ["key"])
