"""No name, whoever chose it, reaches the channel of somebody else."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from ws4redis.access import authorize
from ws4redis.channels import Audience, Namespace
from ws4redis.conf import find_problems, get_settings
from ws4redis.endpoint import LoopClient
from ws4redis.exceptions import HandshakeError
from ws4redis.subscriber import RedisSubscriber

# What the name of a channel is made of, so that two of them come close to each other.
words = st.sampled_from(
    [*Audience, "john", "a", "", "%", "%3A", "%253A", "\r\n", "\x00", "*", "{a}", "ü", "/"]
)
names = st.lists(words, min_size=1, max_size=4).map(":".join).filter(bool) | st.text(min_size=1)


def is_prefix(text: str) -> bool:
    return not list(find_problems({"WS4REDIS_PREFIX": text}))


prefixes = (st.just("") | names).filter(is_prefix)
Address = tuple[str, str, str, str]
"""Prefix, audience, id and facility."""
addresses = st.tuples(prefixes, st.sampled_from(Audience), names, names)


def key(prefix: str, audience: str, identifier: str, facility: str) -> str:
    return Namespace(prefix).name(Audience(audience), facility, identifier)


def parse(name: str, prefix: str) -> tuple[str, str, str]:
    """Return audience, id and facility, as somebody who did not write the name reads it."""
    audience, _, rest = name.removeprefix(f"{prefix}:" if prefix else "").partition(":")
    identifier = ""
    if audience != "broadcast":
        identifier, _, rest = rest.partition(":")
    return audience, unquote(identifier), rest


def owner(prefix: str, audience: str, identifier: str, facility: str) -> Address:
    """Return what tells one address from another: a broadcast has no id."""
    return prefix, audience, "" if audience == "broadcast" else identifier, facility


def cuts(parts: list[str]) -> Iterator[Address]:
    """Yield all addresses that are written alike, but for their colons."""
    for first, audience in enumerate(parts):
        prefix = ":".join(parts[:first])
        if audience in set(Audience) and is_prefix(prefix):
            for second in range(first + 1, len(parts) + 1):
                identifier = ":".join(parts[first + 1 : second])
                yield prefix, audience, identifier, ":".join(parts[second:])


def is_address(address: Address) -> bool:
    _, audience, identifier, facility = address
    return bool(facility) and bool(identifier or audience == "broadcast")


@given(st.lists(words, min_size=3, max_size=7))
def test_two_addresses_never_share_a_key(parts: list[str]) -> None:
    found = {owner(*address) for address in cuts(parts) if is_address(address)}
    assert len({key(*address) for address in found}) == len(found)


@given(addresses)
def test_a_key_tells_its_address(address: Address) -> None:
    assert parse(key(*address), address[0]) == owner(*address)[1:]


class Groups(list[str]):
    """Stands in for the groups of a user."""

    def values_list(self, name: str, *, flat: bool) -> list[str]:
        return self


def visitor(user: str, groups: list[str], session: str) -> Any:
    return SimpleNamespace(
        session=SimpleNamespace(session_key=session),
        user=SimpleNamespace(
            is_authenticated=True, get_username=lambda: user, groups=Groups(groups)
        ),
    )


def ask(path: bytes, query: str, who: Any, prefix: str) -> RedisSubscriber:
    def identify(request: Any) -> None:
        request.session, request.user = who.session, who.user

    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": f"/ws/{path.decode('latin-1')}",
        "QUERY_STRING": query,
        "wsgi.input": io.BytesIO(),
        "wsgi.url_scheme": "http",
    }
    with override_settings(WS4REDIS_PROCESS_REQUEST=identify, WS4REDIS_PREFIX=prefix):
        return authorize(environ, get_settings(), RedisSubscriber(LoopClient(None))).subscriber


def owned(who: Any) -> set[tuple[str, str]]:
    """Return the audiences and ids that a visitor may have."""
    return {
        ("broadcast", ""),
        ("user", who.user.get_username()),
        ("session", who.session.session_key),
        *(("group", group) for group in who.user.groups),
    }


flags = st.sampled_from(
    [
        *(f"{action}-{audience}" for action in ("subscribe", "publish") for audience in Audience),
        *("subscribe-user:mary", "subscribe-user%3Amary", "SUBSCRIBE-USER=mary", "echo", "", "&"),
        *(
            "publish-group[]=admins",
            "subscribe-session=a",
            "subscribe-",
            "-user",
            "subscribe-user=",
        ),
    ]
)
queries = st.lists(flags | st.text(st.characters(max_codepoint=255)), max_size=6).map("&".join)
paths = st.binary(min_size=1) | names.map(str.encode)


@given(paths, queries, names, st.lists(names, max_size=2), names, prefixes)
def test_path_and_query_lead_to_nobody_elses_channels(
    path: bytes, query: str, user: str, groups: list[str], session: str, prefix: str
) -> None:
    who = visitor(user, groups, session)
    try:
        subscriber = ask(path, query, who, prefix)
    except HandshakeError:
        return
    for name in (*subscriber.subscriptions, *subscriber.publications):
        assert parse(name, prefix)[:2] in owned(who)


@pytest.mark.parametrize(
    ("path", "user", "name"),
    [
        # A broadcast to a facility that looks like a user's channel is no message to that user.
        ("user:john:foo", "mary", "broadcast:user:john:foo"),
        ("john:foo", "user", "broadcast:john:foo"),
    ],
)
def test_a_facility_that_looks_like_a_channel_is_none(path: str, user: str, name: str) -> None:
    subscriber = ask(path.encode(), "publish-broadcast", visitor(user, [], "k"), "")
    assert subscriber.publications == (name,)
