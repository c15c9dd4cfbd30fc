"""Addresses as people type them."""

from __future__ import annotations

import pytest

from ws4redis.doctor.client import Target


@pytest.mark.parametrize(
    ("url", "address", "origin"),
    [
        ("http://example.com", "ws://example.com/ws/foo", "http://example.com"),
        ("https://example.com/", "wss://example.com/ws/foo", "https://example.com"),
        ("ws://example.com:81/ws/", "ws://example.com:81/ws/foo", "http://example.com:81"),
        ("wss://example.com/ws/chat", "wss://example.com/ws/chat", "https://example.com"),
        ("http://[::1]:8000", "ws://[::1]:8000/ws/foo", "http://[::1]:8000"),
        ("http://me:secret@example.com", "ws://example.com/ws/foo", "http://example.com"),
    ],
)
def test_what_is_missing_is_added(url: str, address: str, origin: str) -> None:
    target = Target.parse(url, "/ws/", "foo")
    assert str(target) == address
    assert target.origin == origin
    assert target.facility == address.rpartition("/")[2]


@pytest.mark.parametrize("facility", ["a?b", "a/b", "ä", "a b", "a%b"])
def test_a_facility_may_have_any_name(facility: str) -> None:
    target = Target.parse("http://example.com", "/ws/", facility)
    assert target.facility == facility
    assert target.path.isascii()
    assert Target.parse(str(target), "/ws/", "other").facility == facility


@pytest.mark.parametrize("url", ["", "example.com", "ftp://example.com", "http://", "/ws/foo"])
def test_what_is_no_address_is_named(url: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        Target.parse(url, "/ws/", "foo")
