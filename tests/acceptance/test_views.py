"""Websocket views, under the servers that run them in threads and those that do in greenlets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from tests.raw import RawClient
from tests.servers import RedisServer, Server, serving
from tests.waiting import PATIENCE, wait_for

KINDS = (
    *("serve", "serve-patched", "runserver", "nginx-upgrade"),
    *("uwsgi-router", "uwsgi-threads"),
    *("gunicorn-gevent", "gunicorn-gthread", "gunicorn-sync"),
)
WITHOUT_PAGES = ("serve", "serve-patched")
VIEWS = {"WEBSOCKET_URLCONF": "tests.websocket_urls"}


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, directory: Path, redis_server: RedisServer, users: Any
) -> Iterator[Server]:
    with serving(request.param, directory, redis_server.url, **VIEWS) as running:
        yield running


@pytest.fixture
def view(server: Server, open_websocket: Any) -> Any:
    """Opens a websocket on a view."""

    def opened(path: str, **options: Any) -> ClientConnection:
        websocket: ClientConnection = open_websocket(address(server, path), **options)
        return websocket

    return opened


def address(server: Server, path: str) -> str:
    return server.url("").removesuffix("/ws/") + path


def refusal(view: Any, path: str, **options: Any) -> Any:
    with pytest.raises(InvalidStatus) as refused:
        view(path, **options)
    return refused.value.response


def receive(websocket: ClientConnection) -> Any:
    return websocket.recv(timeout=PATIENCE)


def code(websocket: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        receive(websocket)
    return websocket.close_code


@pytest.mark.parametrize("path", ["/echo/", "/inner/echo/"])
def test_a_view_receives_and_sends(view: Any, path: str) -> None:
    websocket = view(path)
    for message in ("grüße", b"\x00\xff", "", "x" * 200_000):
        websocket.send(message)
        assert receive(websocket) == message


def test_many_messages_at_once_are_all_received_in_order(view: Any) -> None:
    websocket = view("/echo/")
    for number in range(500):
        websocket.send(str(number))
    assert [receive(websocket) for _ in range(500)] == [str(number) for number in range(500)]


def test_converters_class_based_views_and_loops(view: Any) -> None:
    websocket = view("/repeat/3/")
    websocket.send("ab")
    websocket.send("c")
    assert [receive(websocket) for _ in range(2)] == ["ababab", "ccc"]
    upper = view("/upper/")
    upper.send("loud")
    assert receive(upper) == "LOUD"
    ping = view("/ping/")
    for message in ("ping", "nothing", "pong"):
        ping.send(message)
    assert [receive(ping) for _ in range(2)] == ["pong", "ping"]


def test_what_refuses_is_an_http_answer(view: Any, cookies: dict[str, str]) -> None:
    assert refusal(view, "/nowhere/").status_code == 404
    assert refusal(view, "/greet/").status_code == 403
    assert refusal(view, "/permitted/", cookie=cookies["john"]).status_code == 403
    assert refusal(view, "/fail/before-denied/").status_code == 403
    assert refusal(view, "/fail/before-missing/").status_code == 404
    own = refusal(view, "/fail/before-response/")
    assert (own.status_code, own.headers["X-Own"], own.body) == (418, "yes", b"no teapot")
    for how in ("error", "exit"):
        internal = refusal(view, f"/fail/before-{how}/")
        assert internal.status_code == 500
        assert b"secret" not in internal.body
    foreign = refusal(view, "/echo/", headers={"Origin": "http://evil.example"})
    assert foreign.status_code == 403


def test_who_is_logged_in_is_known(view: Any, cookies: dict[str, str]) -> None:
    assert receive(view("/greet/", cookie=cookies["john"])) == "hello john"


def test_a_view_that_fails_closes_and_tells_nothing(view: Any, server: Server) -> None:
    for how, expected in (("error", 1011), ("exit", 1011), ("denied", 1008), ("missing", 1008)):
        websocket = view(f"/fail/after-{how}/")
        websocket.send("go on")
        assert code(websocket) == expected
        assert websocket.close_reason == ""
    assert "ValueError: secret" in server.log


def test_a_view_that_ends_closes_its_websocket(view: Any) -> None:
    assert code(view("/nothing/")) == 1000


def test_a_view_chooses_subprotocol_headers_and_close_code(view: Any) -> None:
    websocket = view("/negotiate/", subprotocols=["first", "second"])
    assert websocket.subprotocol == "second"
    assert websocket.response.headers["X-Own"] == "yes"
    assert json.loads(receive(websocket)) == {"chosen": "second", "path": "/negotiate/"}
    assert code(websocket) == 4000
    assert websocket.close_reason == "enough"


@pytest.mark.parametrize("path", ["/chat/", "/old-chat/"])
def test_the_chat_of_the_document(view: Any, path: str) -> None:
    one, two = view(path), view(path)
    # Its subscription begins a moment after its websocket is open.
    wait_for(lambda: _reaches(one, two))
    two.send("hello")
    for websocket in (one, two):
        while receive(websocket) != "hello":
            pass


def _reaches(one: ClientConnection, two: ClientConnection) -> bool:
    one.send("ping")
    try:
        return one.recv(timeout=0.2) == two.recv(timeout=0.2) == "ping"
    except TimeoutError:
        return False


def test_facilities_are_served_beside_views(view: Any) -> None:
    facility = view("/ws/beside?subscribe-broadcast&publish-broadcast&echo")
    facility.send("me")
    assert receive(facility) == "me"


def test_a_view_may_have_the_address_of_a_page(view: Any, server: Server) -> None:
    websocket = view("/address")
    websocket.send("view")
    assert receive(websocket) == "view"
    plain: dict[str, str | None] = {"Upgrade": None, "Connection": "close"}
    page = RawClient.ask(server, "/address", plain)
    if server.kind in WITHOUT_PAGES:
        assert page.startswith("HTTP/1.1 400"), page
    else:
        assert page.startswith("HTTP/1.1 200"), page
        assert f"ws://{server.host}/ws/" in page


def test_a_stop_closes_websockets_and_ends_views(
    tmp_path: Path, redis_server: RedisServer, users: Any, open_websocket: Any
) -> None:
    for kind in ("serve", "serve-patched", "gunicorn-gevent"):
        with serving(kind, tmp_path, redis_server.url, **VIEWS) as server:
            websocket = open_websocket(address(server, "/echo/"))
            websocket.send("x")
            assert receive(websocket) == "x"
        assert code(websocket) in (1001, 1012)


def test_one_view_more_than_threads_gets_a_503(
    tmp_path: Path, redis_server: RedisServer, users: Any, open_websocket: Any
) -> None:
    settings = {**VIEWS, "WS4REDIS_VIEW_THREADS": 2}
    with serving("serve", tmp_path, redis_server.url, **settings) as server:
        url = address(server, "/echo/")
        views = [open_websocket(url) for _ in range(2)]
        with pytest.raises(InvalidStatus) as refused:
            open_websocket(url)
        assert refused.value.response.status_code == 503
        assert "WS4REDIS_VIEW_THREADS" in server.log
        views[0].close()

        def opens() -> bool:
            try:
                open_websocket(url)
            except InvalidStatus:
                return False
            return True

        wait_for(opens)
