"""What real servers make of an Origin; ``integration/test_origin.py`` has the whole table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.raw import RawClient
from tests.servers import RedisServer, Server, serving

KINDS = ("serve", "uwsgi")
OWN = ("http://{0}", "https://{0}", "HTTP://{0}")
FOREIGN = (
    "",
    "null",
    "http://evil.example",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "http://localhost:{1}",
    "http://{0}.evil.example",
    "http://{0}@evil.example",
    "http://evil.example@{0}",
    "http://{0}/",
    "http://{0}/page",
    "http://{0}:80",
    "http://{0}\tx",
    "http://\x0b{0}",
    "http://[::1]:{1}",
    "http://[{0}",
    "ws://{0}",
    "file://",
    "file://{0}",
    "chrome-extension://{0}",
    "http://b\xfccher.example",
    "http://xn--bcher-kva.example",
    "http://\u24d4vil.example",
    "http://{0},http://{0}",
    "http://{0}, http://evil.example",
    "http://evil.example\r\nOrigin: http://also.evil.example",
    "http://" + "a" * 2000 + ".example",
)


@pytest.fixture(scope="module", params=KINDS)
def door(
    request: pytest.FixtureRequest, directory: Path, redis_server: RedisServer, users: Any
) -> Iterator[Server]:
    with serving(request.param, directory, redis_server.url) as running:
        yield running


def answer_to(server: Server, facility: str, origin: str) -> str:
    filled = origin.format(server.host, server.port)
    return RawClient.ask(server, f"/ws/{facility}?subscribe-broadcast", {"Origin": filled})


@pytest.mark.parametrize("origin", OWN)
def test_a_page_of_the_site_may(door: Server, facility: str, origin: str) -> None:
    assert answer_to(door, facility, origin).startswith("HTTP/1.1 101 ")


@pytest.mark.parametrize("origin", FOREIGN, ids=lambda origin: ascii(origin)[1:40])
def test_any_other_page_gets_a_403_and_the_log_says_why(
    door: Server, facility: str, origin: str
) -> None:
    before = len(door.log)
    answer = answer_to(door, facility, origin)
    assert answer.startswith("HTTP/1.1 403 ")
    assert answer.endswith("\r\n\r\nThis origin may not open websockets here.\n")
    assert "evil" not in answer
    assert "WS4REDIS_ALLOWED_ORIGINS" in door.log[before:]
    assert "Traceback" not in door.log[before:]
    assert "\x0b" not in door.log[before:]


def test_of_two_origins_none_counts(door: Server, facility: str) -> None:
    if door.kind == "uwsgi":
        pytest.skip("uWSGI passes one of two headers on; no browser sends two")
    twice = "http://{0}\r\nOrigin: http://{0}"
    assert answer_to(door, facility, twice).startswith("HTTP/1.1 403 ")


def test_where_tls_ends_in_front_a_page_without_tls_may_not(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str
) -> None:
    with serving("nginx-tls", tmp_path, redis_server.url) as server:
        assert answer_to(server, facility, "https://{0}").startswith("HTTP/1.1 101 ")
        assert answer_to(server, facility, "http://{0}").startswith("HTTP/1.1 403 ")
        assert answer_to(server, facility, "https://127.0.0.1:1").startswith("HTTP/1.1 403 ")
