from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws4redis.channels import Audience, Namespace, without_secrets
from ws4redis.exceptions import ChannelError


@pytest.mark.parametrize(
    ("audience", "identifier", "name"),
    [
        (Audience.BROADCAST, "", "broadcast:foo"),
        (Audience.USER, "john", "user:john:foo"),
        (Audience.GROUP, "chatters", "group:chatters:foo"),
        (Audience.SESSION, "wnqd0gbw", "session:wnqd0gbw:foo"),
        (Audience.USER, "ü@example.com", "user:ü@example.com:foo"),
    ],
)
def test_names_are_as_documented(audience: Audience, identifier: str, name: str) -> None:
    assert Namespace().name(audience, "foo", identifier) == name
    assert Namespace("ws").name(audience, "foo", identifier) == f"ws:{name}"


texts = st.text(min_size=1, max_size=8)
names = st.tuples(st.sampled_from([Audience.GROUP, Audience.USER, Audience.SESSION]), texts, texts)


@given(names, names)
def test_different_addresses_never_share_a_channel(
    first: tuple[Audience, str, str], second: tuple[Audience, str, str]
) -> None:
    namespace = Namespace()
    same = namespace.name(*first) == namespace.name(*second)
    assert same == (first == second)


def test_an_id_with_a_colon_can_not_reach_another_channel() -> None:
    namespace = Namespace()
    assert namespace.name(Audience.GROUP, "c", "a:b") == "group:a%3Ab:c"
    assert namespace.name(Audience.GROUP, "b:c", "a") == "group:a:b:c"


def test_empty_parts_are_refused_by_name() -> None:
    with pytest.raises(ChannelError, match="facility"):
        Namespace().name(Audience.BROADCAST, "")
    with pytest.raises(ChannelError, match="'user'"):
        Namespace().name(Audience.USER, "foo", "")


def test_all_audiences_of_a_call_are_named() -> None:
    found = Namespace().names("f", broadcast=True, groups=["g"], users=["u", "v"], sessions=["s"])
    assert list(found) == ["broadcast:f", "group:g:f", "user:u:f", "user:v:f", "session:s:f"]


def test_the_log_shows_no_key_of_a_session() -> None:
    shown = without_secrets("app:session:abc123:chat")
    assert shown == "app:session:*:chat"
    assert without_secrets("user:john:chat") == "user:john:chat"
