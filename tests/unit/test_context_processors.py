from __future__ import annotations

import json

import pytest
from django.test import RequestFactory, override_settings

from ws4redis.context_processors import default


def test_the_address_follows_the_request() -> None:
    factory = RequestFactory()
    plain = default(factory.get("/", headers={"host": "example.com:8000"}))
    secure = default(factory.get("/", secure=True, headers={"host": "example.com"}))
    assert plain["WEBSOCKET_URI"] == "ws://example.com:8000/ws/"
    assert secure["WEBSOCKET_URI"] == "wss://example.com/ws/"


@pytest.mark.parametrize("text", ["--beat--", "</script><script>alert(1)//", '"; x = "', "\u2028&"])
def test_the_heartbeat_is_a_literal_that_may_stand_in_a_script(text: str) -> None:
    with override_settings(WS4REDIS_HEARTBEAT=text):
        literal = default(RequestFactory().get("/"))["WS4REDIS_HEARTBEAT"]
    assert json.loads(literal) == text
    assert not set(literal) & set("<>&\u2028")
    assert hasattr(literal, "__html__")


def test_without_a_heartbeat_it_is_null() -> None:
    assert default(RequestFactory().get("/"))["WS4REDIS_HEARTBEAT"] == "null"
