"""What a site may bound, and what those see who are too many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.acceptance.test_facility import publish, receive
from tests.servers import RedisServer, serving
from tests.waiting import PATIENCE, wait_for

KINDS = ("serve", "uwsgi", "runserver")


def refusal(open_websocket: Any, url: str) -> int:
    with pytest.raises(InvalidStatus) as refused:
        open_websocket(url)
    status: int = refused.value.response.status_code
    return status


def opens(open_websocket: Any, url: str) -> bool:
    try:
        open_websocket(url)
    except InvalidStatus:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("setting", "status"),
    [("WS4REDIS_MAX_CONNECTIONS", 503), ("WS4REDIS_MAX_CONNECTIONS_PER_ADDRESS", 429)],
)
def test_one_too_many_is_refused_until_another_leaves(
    kind: str,
    setting: str,
    status: int,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    with serving(kind, tmp_path, redis_server.url, **{setting: 3}) as server:
        url = server.url(f"{facility}?subscribe-broadcast")
        # One that is refused for another reason takes no place.
        bad = {"headers": {"Origin": "http://evil.example"}}
        for _ in range(5):
            with pytest.raises(InvalidStatus):
                open_websocket(url, **bad)
        clients = [open_websocket(url) for _ in range(3)]
        assert refusal(open_websocket, url) == status
        clients[0].close()
        wait_for(lambda: opens(open_websocket, url))
        assert refusal(open_websocket, url) == status
        assert f"with {status}: " in server.log
        assert "Traceback" not in server.log


@pytest.mark.parametrize("kind", ["nginx-upgrade"])
def test_the_address_is_that_behind_the_proxy(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    settings = {
        "WS4REDIS_MAX_CONNECTIONS_PER_ADDRESS": 1,
        "WS4REDIS_TRUSTED_PROXIES": ["127.0.0.1"],
    }
    with serving(kind, tmp_path, redis_server.url, **settings) as server:
        url = server.url(facility)
        for number in range(3):
            open_websocket(url, headers={"X-Forwarded-For": f"203.0.113.{number}"})
        with pytest.raises(InvalidStatus) as refused:
            open_websocket(url, headers={"X-Forwarded-For": "203.0.113.1"})
        assert refused.value.response.status_code == 429


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("setting", "value", "path", "status"),
    [
        ("WS4REDIS_MAX_CONNECTIONS_PER_USER", 1, "{}?subscribe-user", 429),
        ("WS4REDIS_MAX_CONNECTIONS_PER_SESSION", 1, "{}?subscribe-broadcast", 429),
        ("WS4REDIS_MAX_CHANNELS", 1, "{}?subscribe-user&publish-broadcast", 403),
        ("WS4REDIS_FACILITY_PATTERN", "[a-z]+", "{}", 404),
        ("WS4REDIS_FACILITY_PATTERN", ".{1,20}", "{}-" + "a" * 20, 404),
        ("WS4REDIS_FACILITY_PATTERN", "[^é]+", "{}-%C3%A9", 404),
    ],
)
def test_a_limit_of_the_handshake_refuses_it(
    kind: str,
    setting: str,
    value: Any,
    path: str,
    status: int,
    tmp_path: Path,
    redis_server: RedisServer,
    cookies: Any,
    open_websocket: Any,
) -> None:
    with serving(kind, tmp_path, redis_server.url, **{setting: value}) as server:
        others = open_websocket(server.url("chat?subscribe-broadcast"), cookies["mary"])
        if status == 429:
            open_websocket(server.url(path.format("f00")), cookies["john"])
        with pytest.raises(InvalidStatus) as refused:
            open_websocket(server.url(path.format("f00")), cookies["john"])
        assert refused.value.response.status_code == status
        assert f"with {status}: " in server.log
        publish("chat", "still there")
        assert receive(others) == "still there"


def flood(client: Any, message: Any) -> None:
    """Send until it is too much."""
    for _ in range(20):
        client.send(message)
    client.recv(timeout=PATIENCE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("setting", "value", "message", "code"),
    [
        ("WS4REDIS_MAX_MESSAGE_RATE", 1, "small", 1008),
        ("WS4REDIS_MAX_BYTE_RATE", 10, "x" * 100, 1008),
        ("WS4REDIS_MAX_MESSAGE_SIZE", 99, "x" * 100, 1009),
        ("WS4REDIS_MAX_FRAGMENTS", 9, list("x" * 10), 1009),
    ],
)
def test_a_limit_of_an_open_websocket_closes_it(
    kind: str,
    setting: str,
    value: int,
    message: Any,
    code: int,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    with serving(kind, tmp_path, redis_server.url, **{setting: value}) as server:
        url = server.url(f"{facility}?subscribe-broadcast")
        hostile, other = open_websocket(url), open_websocket(url)
        with pytest.raises(ConnectionClosed) as closed:
            flood(hostile, message)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code
        publish(facility, "still there")
        assert receive(other) == "still there"


def test_what_is_beyond_the_rate_may_be_dropped(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    settings = {"WS4REDIS_MAX_MESSAGE_RATE": 0.1, "WS4REDIS_OVER_RATE": "drop"}
    with serving("serve", tmp_path, redis_server.url, **settings) as server:
        url = server.url(f"{facility}?subscribe-broadcast&publish-broadcast")
        sender, other = open_websocket(url), open_websocket(url)
        for number in range(20):
            sender.send(f"{number}")
        assert receive(other) == "0"
        assert sender.ping().wait(PATIENCE)
        publish(facility, "the next")
        assert receive(other) == "the next"
        assert receive(sender) == "the next"


def test_a_message_larger_than_the_outbox_reaches_who_reads(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    message = "large " * 500_000
    options = {"compression": None, "max_size": None}
    with serving("serve", tmp_path, redis_server.url, WS4REDIS_OUTBOX_SIZE=1024) as server:
        url = server.url(f"{facility}?subscribe-broadcast")
        readers = [open_websocket(url, **options) for _ in range(3)]
        publish(facility, message)
        assert [receive(reader) == message for reader in readers] == [True] * 3
        assert receive(open_websocket(url, **options)) == message
