from __future__ import annotations

from dataclasses import replace

import pytest

from ws4redis.exceptions import HandshakeError
from ws4redis.wire.handshake import (
    SWITCHING,
    Handshake,
    Request,
    accept_key,
    check,
    response_bytes,
    response_headers,
    select_subprotocol,
)

GOOD = Request(
    upgrade="websocket",
    connection="keep-alive, Upgrade",
    version="13",
    key="dGhlIHNhbXBsZSBub25jZQ==",
    subprotocols="chat, superchat",
)


def test_a_good_request_is_accepted() -> None:
    assert check(GOOD) == Handshake("dGhlIHNhbXBsZSBub25jZQ==", ("chat", "superchat"))


def test_headers_are_read_from_the_environment() -> None:
    environ = {
        "REQUEST_METHOD": "GET",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_UPGRADE": "WebSocket",
        "HTTP_CONNECTION": "upgrade",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_KEY": GOOD.key,
    }
    assert check(Request.from_environ(environ)).subprotocols == ()


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"method": "POST"}, 405, "must be a GET"),
        ({"protocol": "HTTP/1.0"}, 400, "proxy_http_version 1.1"),
        ({"upgrade": ""}, 400, "upgrade to a websocket"),
        ({"upgrade": "h2c"}, 400, "upgrade to a websocket"),
        ({"connection": "close"}, 400, "Connection"),
        ({"version": ""}, 426, "13"),
        ({"version": "8"}, 426, "13"),
        ({"key": ""}, 400, "Sec-WebSocket-Key"),
        ({"key": "dGhlIHNhbXBsZSBub25jZQ"}, 400, "Sec-WebSocket-Key"),
        ({"key": "c2hvcnQ="}, 400, "Sec-WebSocket-Key"),
        ({"key": "ü" * 22 + "=="}, 400, "Sec-WebSocket-Key"),
        ({"subprotocols": "a, a"}, 400, "Sec-WebSocket-Protocol"),
        ({"subprotocols": "a b"}, 400, "Sec-WebSocket-Protocol"),
    ],
)
def test_a_bad_request_is_refused_with_its_reason(
    change: dict[str, str], status: int, text: str
) -> None:
    with pytest.raises(HandshakeError, match=text) as error:
        check(replace(GOOD, **change))
    assert error.value.status == status


def test_a_refused_version_or_method_names_the_right_one() -> None:
    with pytest.raises(HandshakeError) as version:
        check(replace(GOOD, version="7"))
    assert ("Sec-WebSocket-Version", "13") in version.value.headers
    with pytest.raises(HandshakeError) as method:
        check(replace(GOOD, method="PUT"))
    assert ("Allow", "GET, POST") in method.value.headers


def test_the_key_of_the_standard_gives_the_answer_of_the_standard() -> None:
    # RFC 6455, section 1.3
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_our_preferred_subprotocol_is_chosen_and_only_one() -> None:
    assert select_subprotocol(("a", "b"), ("b", "a")) == "b"
    assert select_subprotocol(("a",), ("b",)) is None
    assert select_subprotocol((), ("b",)) is None


def test_the_answer_is_complete() -> None:
    headers = response_headers(check(GOOD), "chat", [("X-More", "value")])
    assert response_bytes(SWITCHING, headers) == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"Sec-WebSocket-Protocol: chat\r\nX-More: value\r\n\r\n"
    )


@pytest.mark.parametrize(
    "header", [("X-A", "a\r\nSet-Cookie: b"), ("X-A\n", "a"), ("X-A", "€"), ("X A", "a")]
)
def test_a_header_can_not_smuggle_another_one(header: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="can't be sent"):
        response_headers(check(GOOD), None, [header])
