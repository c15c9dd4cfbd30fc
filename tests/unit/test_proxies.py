"""Whose address a request has, and who may say so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws4redis.proxies import client_address

LOCAL = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"]


def address(
    peer: str, forwarded: str = "", trusted: list[str] | None = None, rfc: bool = False
) -> str:
    header = "Forwarded" if rfc else "X-Forwarded-For"
    key = "HTTP_FORWARDED" if rfc else "HTTP_X_FORWARDED_FOR"
    environ = {"REMOTE_ADDR": peer, key: forwarded}
    return client_address(environ, LOCAL if trusted is None else trusted, header)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "6.6.6.6, 198.51.100.1, 10.1.2.3", "198.51.100.1"),
        ("127.0.0.1", "10.0.0.1,10.0.0.2", "10.0.0.1"),
        ("127.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("127.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("127.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("fd00::1", "198.51.100.1", "198.51.100.1"),
        ("::ffff:127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "unknown", "127.0.0.1"),
        ("127.0.0.1", "fe80::1%\x1b[31m evil", "127.0.0.1"),
        ("127.0.0.1", "6.6.6.6, nonsense\n\x1b[0m", "127.0.0.1"),
        ("", "198.51.100.1", "unix"),
        ("0.0.0.0", "198.51.100.1", "unix"),
    ],
)
def test_the_list_is_read_from_the_right_as_far_as_it_is_trusted(
    peer: str, forwarded: str, client: str
) -> None:
    assert address(peer, forwarded) == client


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("for=198.51.100.1", "198.51.100.1"),
        ("for=6.6.6.6, for=198.51.100.1;proto=https;by=10.0.0.1", "198.51.100.1"),
        ('proto=https;FOR="[2001:db8::1]:4711"', "2001:db8::1"),
        ("for=198.51.100.1, for=10.9.9.9", "198.51.100.1"),
        ("for=_hidden", "127.0.0.1"),
        ("by=198.51.100.1", "127.0.0.1"),
        ('for="6.6.6.6, for=198.51.100.1', "127.0.0.1"),
        ('for=198.51.100.1;host="a,for=6.6.6.6"', "198.51.100.1"),
        ('host="a;for=6.6.6.6";for=198.51.100.1', "198.51.100.1"),
        ('host="a\\";for=6.6.6.6";for=198.51.100.1', "198.51.100.1"),
        ("", "127.0.0.1"),
        (",,", "127.0.0.1"),
    ],
)
def test_the_header_of_rfc_7239_is_read_alike(forwarded: str, client: str) -> None:
    assert address("127.0.0.1", forwarded, rfc=True) == client


@pytest.mark.parametrize("part", ['"\\', '\\"', '"', "for=", ',"'])
def test_no_header_takes_longer_than_its_length_allows(part: str) -> None:
    # Were the time its square, this would last for hours.
    assert address("127.0.0.1", part * 200_000 + '"', rfc=True) == "127.0.0.1"


def test_a_unix_socket_is_trusted_only_by_name() -> None:
    assert address("", "198.51.100.1", ["unix"]) == "198.51.100.1"
    assert address("0.0.0.0", "198.51.100.1", ["unix"]) == "198.51.100.1"
    assert address("127.0.0.1", "198.51.100.1", ["unix"]) == "127.0.0.1"


def test_the_other_header_is_never_read() -> None:
    environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": "for=6.6.6.6"}
    assert client_address(environ, LOCAL, "X-Forwarded-For") == "127.0.0.1"


@given(st.text(), st.text(), st.booleans())
def test_no_header_raises_or_gets_into_the_log_as_it_is(peer: str, value: str, rfc: bool) -> None:
    client = address(peer, value, ["127.0.0.1", "unix"], rfc)
    assert client == "unix" or set(client) <= set("0123456789abcdef.:%") | set(value)
    assert client.isprintable()
