"""What a site may bound, and what those see who are too many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.servers import RedisServer, serving
from tests.waiting import wait_for

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
