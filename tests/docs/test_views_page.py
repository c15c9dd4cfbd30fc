"""The views of the page on views, as they stand there."""

# ruff: noqa: F811 (fixtures are imported)

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.conftest import open_websocket, view  # noqa: F401
from tests.acceptance.test_views import receive, refusal
from tests.servers import ROOT, RedisServer, Server, serving
from tests.waiting import wait_for

PAGE = (ROOT / "docs" / "howto" / "views.md").read_text()
BLOCK = re.compile(r"```\{code-block\} python\n:caption: (\S+)\n\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, users: Any
) -> Iterator[Server]:
    """A site to which the blocks of the page were copied, one below the other."""
    directory = tmp_path_factory.mktemp("views")
    for name, text in BLOCK.findall(PAGE):
        (directory / name).parent.mkdir(exist_ok=True)
        with (directory / name).open("a") as file:
            file.write(text)
    with pytest.MonkeyPatch.context() as patch:
        path = f"import sys; sys.path.insert(0, {str(directory)!r})"
        patch.setenv("WS4REDIS_TEST_LINES", path)
        settings = {"WEBSOCKET_URLCONF": "mysite.websocket_urls"}
        with serving("serve", directory, redis_server.url, **settings) as running:
            yield running


def test_the_functions(view: Any) -> None:
    websocket = view("/echo/")
    websocket.send("hello")
    assert receive(websocket) == "hello"
    websocket = view("/ping/")
    for message in ("nothing", "ping"):
        websocket.send(message)
    assert receive(websocket) == "pong"


def test_the_room(view: Any, cookies: dict[str, str]) -> None:
    john, mary = (view("/rooms/5/", cookie=cookies[name]) for name in ("john", "mary"))
    john.send('{"text": ""}')
    assert json.loads(receive(john)) == {"errors": {"text": ["This field is required."]}}
    mary.send("{}")
    assert "errors" in receive(mary)
    # Both are in the room now.
    mary.send('{"text": "hello"}')
    for websocket in (john, mary):
        assert json.loads(receive(websocket)) == {"from": "mary", "text": "hello"}


def test_the_class(view: Any, cookies: dict[str, str]) -> None:
    websocket = view("/tables/5/", cookie=cookies["john"])
    assert json.loads(receive(websocket)) == {"hello": "john"}
    websocket.send("hello")
    assert receive(websocket) == "HELLO"


def test_what_refuses(view: Any, cookies: dict[str, str], server: Server) -> None:
    for path in ("/rooms/10/", "/tables/10/"):
        assert refusal(view, path, cookie=cookies["john"]).status_code == 404
    for path in ("/rooms/5/", "/tables/5/"):
        assert refusal(view, path).status_code == 403
    (line,) = re.findall("^    (Refused '/rooms.*)$", PAGE, re.MULTILINE)
    wait_for(lambda: line.replace("203.0.113.7", "127.0.0.1") in server.log)


def test_the_views_were_found() -> None:
    names = {name for name, _ in BLOCK.findall(PAGE)}
    assert names == {"mysite/websocket_urls.py", "rooms/websocket_views.py"}
