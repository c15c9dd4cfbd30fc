"""A refusal is an HTTP answer before the upgrade, and says nothing of the server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hooks import SECRET
from tests.raw import RawClient
from tests.servers import RedisServer, Server, serving
from tests.waiting import wait_for

KINDS = ("serve", "uwsgi", "gunicorn-gthread")
HOOKS = {
    "WS4REDIS_ALLOWED_CHANNELS": "tests.hooks.allowed_channels",
    "WS4REDIS_MAX_CONNECTIONS": 200,
}
HEADERS = {
    "content-type",
    "content-length",
    "cache-control",
    "x-ws4redis-refused",
    # These are the server's own.
    "date",
    "connection",
    "server",
}


@pytest.fixture(scope="module", params=KINDS)
def door(
    request: pytest.FixtureRequest, directory: Path, redis_server: RedisServer, users: Any
) -> Iterator[Server]:
    with serving(request.param, directory, redis_server.url, **HOOKS) as running:
        yield running


def check(answer: str, status: int, body: str, *more: str) -> None:
    """See that an answer is a plain refusal, and that nothing in it tells more."""
    head, _, text = answer.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    assert re.fullmatch(rf"HTTP/1\.1 {status} [A-Za-z ]+", first)
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert len(headers) == len(lines)
    assert set(headers) - {"server"} <= HEADERS | set(more)
    assert set(more) <= set(headers)
    assert headers["x-ws4redis-refused"] == "handshake"
    assert headers["cache-control"] == "no-store"
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers.get("server", "gunicorn") == "gunicorn"
    assert text == f"{body}\n"
    assert int(headers["content-length"]) == len(text)


ORIGIN = "This origin may not open websockets here."
KEY = "Sec-WebSocket-Key must be 16 bytes in base64."
HANDSHAKES: dict[str, tuple[dict[str, str | None], int, str, tuple[str, ...]]] = {
    "no upgrade": (
        {"Upgrade": None},
        400,
        "Client does not wish to upgrade to a websocket.",
        (),
    ),
    "no connection": (
        {"Connection": "keep-alive"},
        400,
        "The Connection header must name Upgrade.",
        (),
    ),
    "no key": ({"Sec-WebSocket-Key": None}, 400, KEY, ()),
    "a bad key": ({"Sec-WebSocket-Key": "7Hjk2"}, 400, KEY, ()),
    "subprotocols": (
        {"Sec-WebSocket-Protocol": "a b"},
        400,
        "Sec-WebSocket-Protocol must be a list of distinct tokens.",
        (),
    ),
    "version": (
        {"Sec-WebSocket-Version": "8"},
        426,
        "The version of the websocket protocol must be 13.",
        ("sec-websocket-version",),
    ),
    "origin": ({"Origin": "http://evil.example"}, 403, ORIGIN, ()),
}


@pytest.mark.parametrize("name", HANDSHAKES)
def test_a_bad_handshake(door: Server, facility: str, name: str) -> None:
    changes, status, body, more = HANDSHAKES[name]
    answer = RawClient.ask(door, f"/ws/{facility}?subscribe-broadcast", changes)
    check(answer, status, body, *more)


HOOKS_THAT_FAIL = {
    "in=policy&raise=ValueError": (500, "Internal error."),
    "in=policy&raise=SystemExit": (500, "Internal error."),
    "in=policy&raise=PermissionDenied": (403, "Permission denied."),
    "in=policy&raise=SuspiciousOperation": (400, "The request is malformed."),
    "in=policy&return=number": (500, "Internal error."),
}


@pytest.mark.parametrize("query", HOOKS_THAT_FAIL)
def test_a_hook_that_fails(door: Server, facility: str, query: str) -> None:
    answer = RawClient.ask(door, f"/ws/{facility}?subscribe-broadcast&{query}", {})
    check(answer, *HOOKS_THAT_FAIL[query])
    assert SECRET not in answer


def test_a_query_that_is_too_much(door: Server, facility: str) -> None:
    query = "&".join("a" * 1500)
    check(RawClient.ask(door, f"/ws/{facility}?{query}", {}), 400, "The request is malformed.")


def test_no_facility(door: Server) -> None:
    check(RawClient.ask(door, "/ws/", {}), 404, "Websockets are at /ws/<facility>.")


SHAPE = "must be CHANNEL@POSITION, such as broadcast:chat@6fa90e33:7."
TOLD: dict[str, tuple[str, dict[str, str | None], int, str, str]] = {
    "since": ("?since=broadcast:x@nowhere", {}, 400, f"since {SHAPE}", "'broadcast:x@nowhere'"),
    "since without a channel": ("?since=6fa90e33:7", {}, 400, f"since {SHAPE}", "'6fa90e33:7'"),
    "an id": ("", {"Last-Event-ID": "x@y"}, 400, f"Last-Event-ID {SHAPE}", "'x@y'"),
    "an id without a channel": ("", {"Last-Event-ID": "7"}, 400, f"Last-Event-ID {SHAPE}", "'7'"),
    "another site": (
        "",
        {"Accept": "text/event-stream", "Upgrade": None, "Sec-Fetch-Site": "cross-site"},
        403,
        "Another site may not open streams here.",
        "Sec-Fetch-Site is 'cross-site'",
    ),
    "no UTF-8": ("%ff%fe", {}, 404, "The name of a facility must be UTF-8.", "with 404"),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_is_wrong_is_told_to_the_client_and_to_the_log(
    door: Server, facility: str, name: str
) -> None:
    rest, changes, status, body, logged = TOLD[name]
    before = len(door.log)
    check(RawClient.ask(door, f"/ws/{facility}{rest}", changes), status, body)
    wait_for(lambda: logged in door.log[before:].replace("\\'", "'"))


POSTS: dict[str, tuple[dict[str, str | None], int, str, str]] = {
    "another origin": (
        {"Origin": "http://evil.example"},
        403,
        "This origin may not publish here.",
        "CSRF_TRUSTED_ORIGINS",
    ),
    "too large": (
        {"Content-Length": "9999999"},
        413,
        "A message has at most 1048576 bytes.",
        "It has 9999999; see WS4REDIS_MAX_MESSAGE_SIZE",
    ),
}


@pytest.mark.parametrize("name", POSTS)
def test_why_nothing_is_published_is_told(door: Server, facility: str, name: str) -> None:
    changes, status, body, logged = POSTS[name]
    before = len(door.log)
    headers = {"Upgrade": None, "Connection": "close", **changes}
    answer = RawClient.ask(door, f"/ws/{facility}?publish-broadcast", headers, method="POST")
    check(answer, status, body)
    wait_for(lambda: logged in door.log[before:])


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method(door: Server, facility: str, method: str) -> None:
    answer = RawClient.ask(door, f"/ws/{facility}", {"Content-Length": "0"}, method=method)
    check(answer, 405, "HTTP method must be a GET or a POST.", "allow")


def test_an_answer_to_head_has_no_body(door: Server, facility: str) -> None:
    head = RawClient.request(door.host, f"/ws/{facility}", {}, method="HEAD")
    get = RawClient.request(door.host, f"/ws/{facility}", {"Connection": "close"})
    with door.connect() as asking:
        asking.sendall(head + get)
        received = b"".join(iter(lambda: asking.recv(65536), b""))
    # Some servers close the connection after the first answer.
    first, _, second = received.decode().partition("\r\n\r\n")
    assert first.startswith("HTTP/1.1 405 ")
    assert second == "" or second.startswith("HTTP/1.1 400 ")


def test_redis_away(
    tmp_path: Path, own_redis: RedisServer, users: Any, facility: str, open_raw: Any
) -> None:
    with serving("serve", tmp_path, own_redis.url) as server:
        own_redis.stop()
        wait_for(lambda: " 503 " in RawClient.ask(server, f"/ws/{facility}?subscribe-user", {}))
        answer = RawClient.ask(server, f"/ws/{facility}?subscribe-broadcast", {})
        check(answer, 503, "Try again later.", "retry-after")


@pytest.mark.parametrize(
    ("setting", "status", "body"),
    [
        ("WS4REDIS_MAX_CONNECTIONS", 503, "This process is full."),
        (
            "WS4REDIS_MAX_CONNECTIONS_PER_ADDRESS",
            429,
            "Too many websockets of this address.",
        ),
    ],
)
def test_too_many(
    setting: str,
    status: int,
    body: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_raw: Any,
) -> None:
    with serving("serve", tmp_path, redis_server.url, **{setting: 1}) as server:
        open_raw(server, f"/ws/{facility}?subscribe-broadcast")
        answer = RawClient.ask(server, f"/ws/{facility}?subscribe-broadcast", {})
        check(answer, status, body, "retry-after")


def test_a_wrong_setting(tmp_path: Path, redis_server: RedisServer, users: Any) -> None:
    wrong = {"WS4REDIS_ALLOWED_CHANNELS": "os.path.join", "WS4REDIS_PROCESS_REQUEST": "os.getcwd"}
    with serving("serve", tmp_path, redis_server.url, **wrong) as server:
        check(RawClient.ask(server, "/ws/foo?subscribe-broadcast", {}), 500, "Internal error.")
        assert "Traceback" in server.log
