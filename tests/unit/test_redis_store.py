from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

import pytest
from django.test import override_settings

from ws4redis.redis_store import SELF, RedisMessage, RedisStore


@pytest.mark.parametrize(
    ("value", "payload"),
    [
        ("grüße", "grüße".encode()),
        (b"\xff", b"\xff"),
        (bytearray(b"x"), b"x"),
        (memoryview(b"x"), b"x"),
        ("", b""),
        ({"a": "ü", "d": date(2026, 1, 2)}, '{"a":"ü","d":"2026-01-02"}'.encode()),
        ([1, None], b"[1,null]"),
    ],
)
def test_a_message_is_its_payload(value: Any, payload: bytes) -> None:
    message = RedisMessage(value)
    assert message == payload
    assert isinstance(message, bytes)
    assert RedisMessage(message) == payload


@pytest.mark.parametrize("value", [None, 3, 1.5, object(), {1, 2}])
def test_what_is_no_message_is_named(value: Any) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        RedisMessage(value)


def test_the_prefix_is_that_of_the_settings() -> None:
    assert RedisStore.get_prefix() == ""
    with override_settings(WS4REDIS_PREFIX="demo"):
        assert RedisStore.get_prefix() == "demo:"


def test_self_is_recognised_in_an_error() -> None:
    assert repr(SELF) == "SELF"


@pytest.mark.parametrize("expire", ["60", 1.5, True])
def test_a_wrong_type_of_expire_is_named(expire: Any) -> None:
    with pytest.raises(TypeError, match="expire"):
        RedisStore(None).publish_message("x", expire)


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("expire", [-1, 10**20, 2**31, timedelta.max])
def test_an_expire_out_of_its_bounds_is_named(expire: Any, durable: bool) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(expire))):
        RedisStore(None).publish_message("x", expire, durable=durable)


@pytest.mark.parametrize(
    ("key", "kind"), [("", ValueError), (7, TypeError), (b"order", TypeError), (False, TypeError)]
)
@pytest.mark.parametrize("durable", [False, True])
def test_a_wrong_idempotency_key_is_named(key: Any, kind: type[Exception], durable: bool) -> None:
    with pytest.raises(kind, match=r"^idempotency_key must"):
        RedisStore(None).publish_message("x", durable=durable, idempotency_key=key)
