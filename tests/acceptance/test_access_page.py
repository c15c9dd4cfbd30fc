"""Every example of the page about access, as it stands there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.acceptance.test_rights import code
from tests.servers import ROOT, RedisServer, Server, serving
from tests.waiting import PATIENCE

PAGE = (ROOT / "docs" / "howto" / "access.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ONE_LINERS, BY_FACILITY, OWN, MODULE, TOKEN, KICK = EXAMPLES
FLAGS = ("subscribe-broadcast", "publish-broadcast", "subscribe-user", "publish-user")
VISITOR = "nobody is logged in"


@pytest.fixture
def site(tmp_path: Path, redis_server: RedisServer, users: Any, monkeypatch: Any) -> Any:
    """Run a site with lines of the page in its settings."""

    @contextmanager
    def run(lines: str, **settings: Any) -> Iterator[Server]:
        path = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        monkeypatch.setenv("WS4REDIS_TEST_LINES", path + lines)
        with serving("serve", tmp_path, redis_server.url, **settings) as server:
            yield server
            assert "Traceback" not in server.log

    return run


def granted(open_websocket: Any, server: Server, facility: str, cookie: str = "") -> list[str]:
    """Return what a client gets of all flags; nothing also if it is refused altogether."""
    try:
        client = open_websocket(server.url(f"{facility}?{'&'.join(FLAGS)}"), cookie)
    except InvalidStatus as refused:
        if refused.response.status_code != 403:
            raise
        return []
    told = client.response.headers.get("X-WS4Redis-Refused", "")
    return [name for name in FLAGS if f"{name} (" not in told]


def test_a_kick_closes_what_is_open_and_forbids_nothing(
    tmp_path: Path, redis_server: RedisServer, cookies: Any, facility: str, open_websocket: Any
) -> None:
    with serving("serve", tmp_path, redis_server.url) as server:
        url = server.url(f"{facility}?subscribe-broadcast")
        john, mary = open_websocket(url, cookies["john"]), open_websocket(url, cookies["mary"])
        exec(KICK)
        assert code(john) == 4501
        open_websocket(url, cookies["john"])
        assert mary.ping().wait(PATIENCE)


def test_each_of_the_lines_alone(
    site: Any, facility: str, cookies: Any, open_websocket: Any
) -> None:
    listen, log_in = (ast.unparse(statement) for statement in ast.parse(ONE_LINERS).body)
    with site(listen) as server:
        assert granted(open_websocket, server, facility) == ["subscribe-broadcast"]
        assert granted(open_websocket, server, facility, cookies["john"]) == [
            "subscribe-broadcast",
            "subscribe-user",
        ]
    with site(log_in) as server:
        assert granted(open_websocket, server, facility) == []
        assert granted(open_websocket, server, facility, cookies["john"]) == [*FLAGS]


def test_the_rules_for_each_facility(site: Any, cookies: Any, open_websocket: Any) -> None:
    listening = ["subscribe-broadcast", "subscribe-user"]
    expected: dict[str, tuple[list[str], list[str]]] = {
        # What a visitor and what John gets.
        "news": (listening[:1], listening),
        "chat-7": ([], [*FLAGS]),
        "alarms": ([], listening),
        "other": ([], []),
        "News": ([], []),
        "news/": ([], []),
        "chat-": ([], [*FLAGS]),
        "alarms%2f..%2fnews": ([], []),
        "%6eews": (listening[:1], listening),
    }
    with site(BY_FACILITY) as server:
        for facility, (visitor, john) in expected.items():
            assert granted(open_websocket, server, facility) == visitor, facility
            assert granted(open_websocket, server, facility, cookies["john"]) == john, facility


def test_a_function_of_the_site(
    site: Any, facility: str, tmp_path: Path, cookies: Any, open_websocket: Any
) -> None:
    (tmp_path / "myapp").mkdir()
    (tmp_path / "myapp" / "access.py").write_text(MODULE)
    with site(OWN) as server:
        with pytest.raises(InvalidStatus) as refused:
            open_websocket(server.url(f"{facility}?subscribe-broadcast"))
        assert refused.value.response.status_code == 403
        assert refused.value.response.body == b"Log in first.\n"
        assert granted(open_websocket, server, facility, cookies["john"]) == [
            "subscribe-broadcast",
            "subscribe-user",
        ]


def test_a_token_in_place_of_a_session(
    site: Any, facility: str, tmp_path: Path, cookies: Any, users: Any, open_websocket: Any
) -> None:
    from django.core.signing import TimestampSigner

    (tmp_path / "myapp").mkdir()
    (tmp_path / "myapp" / "tokens.py").write_text(TOKEN)
    signer = TimestampSigner(salt="websocket")
    good = signer.sign(str(users["john"].pk))
    lines = "WS4REDIS_PROCESS_REQUEST = 'myapp.tokens.process_request'"
    with site(lines) as server:
        address = server.url(f"{facility}?subscribe-user&token=")
        client = open_websocket(address + good)
        assert "X-WS4Redis-Refused" not in client.response.headers
        others = ["", "x", f"{good}x", TimestampSigner(salt="other").sign("1"), signer.sign("0")]
        for token in others:
            with pytest.raises(InvalidStatus) as refused:
                open_websocket(address + token, cookies["john"])
            assert refused.value.response.status_code == 403


def test_what_can_not_be_had(site: Any, facility: str, open_websocket: Any) -> None:
    (line,) = re.findall(r"`(WS4REDIS_REFUSE_UNRESOLVED = True)`", PAGE)
    with site("") as server:
        client = open_websocket(server.url(f"{facility}?subscribe-user"))
        told = client.response.headers["X-WS4Redis-Refused"]
        assert told == f"subscribe-user ({VISITOR})"
    with site(line) as server, pytest.raises(InvalidStatus) as refused:
        open_websocket(server.url(f"{facility}?subscribe-user"))
    assert refused.value.response.status_code == 403
