"""The browser client in Chromium: servers that are killed, networks that break, tabs that close."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from django.template import Engine, RequestContext
from django.test import RequestFactory, override_settings
from django.utils.crypto import get_random_string
from playwright.sync_api import Browser, BrowserContext, Page, Route

from tests.acceptance.test_serve import Serve, run, serve
from tests.chromium import chromium
from tests.servers import ROOT, RedisServer, end
from tests.tcp_proxy import TcpProxy
from tests.waiting import wait_for
from ws4redis.page import mark
from ws4redis.publisher import RedisPublisher

__all__ = ["run"]

BUILT = ROOT / "ws4redis" / "static" / "js"
ALL_LOCAL = "--disable-features=LocalNetworkAccessChecks"
"""The pages come from the test, so Chromium does not know that they are as local as the server."""
HISTORY = {"facility*": {"length": 1000}}
PAGE = """<!DOCTYPE html>
<script src="/client/ws4redis.js"></script>
<script>
  // What the page was told survives a reload, as its positions do.
  const told = JSON.parse(sessionStorage.getItem("told") ?? "[]");
  function tell(text) {
    told.push(text);
    sessionStorage.setItem("told", JSON.stringify(told));
  }
  const quick = { minDelay: 50, maxDelay: 500 };
  const callbacks = {
    receive_message: tell,
    recovered: () => tell("(recovered)"),
    gap: () => tell("(gap)"),
  };
</script>
<script type="module">
  import { connect, page } from "/client/ws4redis.mjs";
  Object.assign(window, { connect, page });
</script>
"""
RECOVERING = "(uri) => { window.ws = WS4Redis({ uri, recover: true, ...quick, ...callbacks }); }"
STORING = RECOVERING.replace("recover: true", "recover: true, storage: 'session'")
RAW = "(uri) => { window.ws = WS4Redis({ uri, ...quick, ...callbacks }); }"
TAG = """{% load ws4redis %}
{% ws4redis_socket facility 'subscribe-broadcast' 'publish-broadcast' %}"""
FROM_PAGE = """(html) => {
  document.head.insertAdjacentHTML("beforeend", html);
  const [, facility] = document.querySelector("[id^=ws4redis-]").id.split("ws4redis-");
  window.ws = new WS4Redis({ ...WS4Redis.page(facility), ...quick, ...callbacks });
}"""
SHARED_FROM_PAGE = """(html) => {
  document.head.insertAdjacentHTML("beforeend", html);
  const [, facility] = document.querySelector("[id^=ws4redis-]").id.split("ws4redis-");
  window.socket = connect(page(facility), { shared: true, identity: "john", ...quick });
  window.subscription = socket.subscribe(page(facility), { onMessage: tell, onGap: callbacks.gap });
}"""
SHARED = """([uri, facility]) => {
  window.socket = connect(uri, { shared: true, identity: "john", ...quick });
  window.subscription = socket.subscribe(facility, {
    channels: ["subscribe-broadcast", "publish-broadcast"],
    onMessage: tell,
    onGap: callbacks.gap,
  });
}"""


class Place:
    """A server behind a network, both of which may break."""

    def __init__(self, proxy: TcpProxy, start: Callable[[], Serve]) -> None:
        self.proxy = proxy
        self.proxy.requests.change = self._pass
        self.handshakes = 0
        """Of websockets, as the server sees them."""
        self.hides = b""
        """A header that does not get through."""
        self._start = start
        self._server = start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.proxy.port}"

    def _pass(self, data: bytes) -> bytes:
        if self.hides:
            data = data.replace(self.hides, b"X-Hidden:")
        self.handshakes += data.count(b"Upgrade: websocket")
        return data

    def kill(self) -> None:
        end(self._server.process, signal.SIGKILL)

    def start(self) -> None:
        self._server = self._start()

    def uri(self, facility: str) -> str:
        return f"ws://{self.host}/ws/{facility}?subscribe-broadcast"


@pytest.fixture
def place(tmp_path: Path, run: Path, redis_server: RedisServer, users: Any) -> Iterator[Place]:
    path = run / "web.socket"
    settings = {"WS4REDIS_TEST_SETTINGS": json.dumps({"WS4REDIS_HISTORY": HISTORY})}
    with ExitStack() as stack:

        def start() -> Serve:
            bind = ("--bind", f"unix:{path}")
            return stack.enter_context(serve(tmp_path, redis_server, *bind, env=settings))

        stack.enter_context(override_settings(WS4REDIS_HISTORY=HISTORY))
        yield Place(stack.enter_context(TcpProxy(path)), start)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(ALL_LOCAL) as running:
        yield running


@pytest.fixture
def context(browser: Browser, place: Place) -> Iterator[BrowserContext]:
    """A browser that gets pages and scripts even while the server is away."""
    with browser.new_context(base_url=f"http://{place.host}") as opened:
        opened.route("**/page", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
        opened.route("**/client/*", client_file)
        yield opened


def client_file(route: Route) -> None:
    path = BUILT / route.request.url.rpartition("/")[2]
    route.fulfill(path=path, content_type="text/javascript")


def visit(context: BrowserContext) -> Page:
    page = context.new_page()
    page.goto("/page")
    page.wait_for_function("typeof window.connect === 'function'")
    return page


def started(page: Page, script: str, *arguments: Any) -> None:
    page.evaluate(script, *arguments)
    page.wait_for_function("window.ws.is_connected()")


def rendered(place: Place, facility: str) -> str:
    """Return what a template has for a page whose view read its data just now."""
    request = RequestFactory().get("/", HTTP_HOST=place.host)
    mark(request)
    template = Engine(libraries={"ws4redis": "ws4redis.templatetags.ws4redis"}).from_string(TAG)
    return template.render(RequestContext(request, {"facility": facility}))


def publish(facility: str, *numbers: int) -> None:
    for number in numbers:
        RedisPublisher(facility=facility, broadcast=True).publish_message(f"{number}")


def told(page: Page, last: str) -> list[str]:
    """Return all that a page was told, once it was told a last thing."""
    found: list[str] = []

    def was_told() -> bool:
        found[:] = page.evaluate("told")
        return found[-1:] == [last]

    with suppress(AssertionError):
        wait_for(was_told)
    assert found[-1:] == [last], found
    return found


def test_every_message_arrives_once_though_the_server_is_killed(
    place: Place, context: BrowserContext, facility: str
) -> None:
    page = visit(context)
    started(page, RECOVERING, place.uri(facility))
    publish(facility, 1, 2)
    assert told(page, "2") == ["1", "2"]
    place.kill()
    publish(facility, 3, 4)
    place.start()
    publish(facility, 5)
    assert told(page, "5") == ["1", "2", "(recovered)", "3", "4", "5"]
    assert place.handshakes >= 2


def test_every_message_arrives_once_though_the_network_is_cut(
    place: Place, context: BrowserContext, facility: str
) -> None:
    page = visit(context)
    started(page, RECOVERING, place.uri(facility))
    for number in range(1, 10, 3):
        publish(facility, number)
        place.proxy.refuse()
        place.proxy.cut(reset=True)
        publish(facility, number + 1)
        place.proxy.allow()
        publish(facility, number + 2)
        told(page, f"{number + 2}")
    messages = [text for text in page.evaluate("told") if text != "(recovered)"]
    assert messages == [f"{number}" for number in range(1, 10)]
    assert place.handshakes >= 4


def test_where_websockets_are_broken_http_does_the_same(
    place: Place, context: BrowserContext, facility: str
) -> None:
    place.hides = b"Upgrade:"
    token = {"name": "csrftoken", "value": get_random_string(32)}
    context.add_cookies([{**token, "url": f"http://{place.host}"}])
    page = visit(context)
    started(page, RECOVERING, place.uri(facility) + "&publish-broadcast&echo")
    publish(facility, 1)
    assert told(page, "1") == ["1"]
    place.kill()
    publish(facility, 2)
    place.start()
    publish(facility, 3)
    assert told(page, "3") == ["1", "(recovered)", "2", "3"]
    page.evaluate("ws.send_message('posted')")
    assert told(page, "posted") == ["1", "(recovered)", "2", "3", "posted"]
    assert place.handshakes == 0


def test_every_message_arrives_once_though_the_page_is_reloaded(
    place: Place, context: BrowserContext, facility: str
) -> None:
    page = visit(context)
    started(page, STORING, place.uri(facility))
    publish(facility, 1, 2)
    told(page, "2")
    page.goto("about:blank")
    publish(facility, 3, 4)
    page.goto("/page")
    started(page, STORING, place.uri(facility))
    publish(facility, 5)
    assert told(page, "5") == ["1", "2", "(recovered)", "3", "4", "5"]


def test_what_is_gone_is_told(
    place: Place, context: BrowserContext, facility: str, redis_client: Any
) -> None:
    page = visit(context)
    started(page, RECOVERING, place.uri(facility))
    publish(facility, 1)
    told(page, "1")
    place.kill()
    publish(facility, 2)
    redis_client.delete(f"ws4redis:stream:broadcast:{facility}")
    place.start()
    told(page, "(gap)")
    publish(facility, 3)
    assert told(page, "3") == ["1", "(gap)", "3"]


def test_without_recover_messages_are_raw_and_those_in_between_are_lost(
    place: Place, context: BrowserContext, facility: str
) -> None:
    page = visit(context)
    with page.expect_websocket() as opening:
        started(page, RAW, place.uri(facility) + "&publish-broadcast&echo")
    frames: list[str | bytes] = []
    opening.value.on("framereceived", lambda frame: frames.append(frame))
    page.evaluate("ws.send_message('raw')")
    assert told(page, "raw") == ["raw"]
    assert frames == ["raw"]
    place.proxy.refuse()
    place.proxy.cut()
    publish(facility, 1, 2)
    place.proxy.allow()
    assert told(page, "2") == ["raw", "2"]


def test_a_server_that_does_not_know_the_protocol_gets_raw_messages(
    place: Place, context: BrowserContext, facility: str
) -> None:
    place.hides = b"Sec-WebSocket-Protocol:"
    page = visit(context)
    page.evaluate(RECOVERING, place.uri(facility) + "&publish-broadcast&echo")
    page.evaluate("ws.send_message('raw')")
    assert told(page, "raw") == ["raw"]


def test_tabs_share_one_websocket_and_hand_it_over(
    place: Place, context: BrowserContext, facility: str
) -> None:
    tabs = [visit(context) for _ in range(3)]
    for tab in tabs:
        tab.evaluate(SHARED, [f"ws://{place.host}/ws/", facility])
        tab.evaluate("subscription.ready")
    publish(facility, 1)
    assert [told(tab, "1") for tab in tabs] == [["1"]] * 3
    assert place.handshakes == 1
    leader, *others = tabs
    leader.close()
    publish(facility, 2)
    assert [told(tab, "2") for tab in others] == [["1", "2"]] * 2
    others[0].evaluate("subscription.publish('3')")
    assert told(others[1], "3") == ["1", "2", "3"]
    publish(facility, 4)
    assert told(others[0], "4") == ["1", "2", "4"]
    assert place.handshakes == 2


def test_what_comes_between_the_view_and_the_websocket_arrives_once(
    place: Place, context: BrowserContext, facility: str
) -> None:
    publish(facility, 1)
    html = rendered(place, facility)
    publish(facility, 2)
    page = visit(context)
    started(page, FROM_PAGE, html)
    place.proxy.cut()
    publish(facility, 3)
    messages = [text for text in told(page, "3") if text != "(recovered)"]
    assert messages == ["2", "3"]


def test_a_tab_that_joins_gets_what_came_since_its_view_and_the_others_get_nothing_twice(
    place: Place, context: BrowserContext, facility: str
) -> None:
    publish(facility, 1)
    first, second = visit(context), visit(context)
    early = rendered(place, facility)
    publish(facility, 2)
    first.evaluate(SHARED_FROM_PAGE, rendered(place, facility))
    first.evaluate("subscription.ready")
    publish(facility, 3)
    told(first, "3")
    second.evaluate(SHARED_FROM_PAGE, early)
    told(second, "3")
    publish(facility, 4)
    assert told(first, "4") == ["3", "4"]
    assert told(second, "4") == ["2", "3", "4"]
    assert place.handshakes == 1
