"""The examples of websocket views in a real browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.deployments import is_listening
from tests.servers import ROOT, RedisServer, end, free_port, serving
from tests.waiting import wait_for

pytestmark = pytest.mark.xdist_group("examples of views")

EXAMPLES = ROOT / "examples"
KINDS = ("runserver", "serve")
"""One process for all, or another one for the websockets."""


@contextmanager
def example(name: str, kind: str, directory: Path, redis_url: str) -> Iterator[str]:
    """Run an example as its page says; yield its address."""
    port, other = free_port(), free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "REDIS_URL": redis_url,
        "POLLS_DATA": str(directory),
    }
    del environment["DJANGO_SETTINGS_MODULE"]
    with ExitStack() as stack:
        log = directory / f"{name}-{kind}.log"
        output = stack.enter_context(log.open("wb"))

        def manage(*arguments: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "manage.py", *arguments]
            return subprocess.Popen(
                command, cwd=EXAMPLES / name, env=environment, stdout=output, stderr=output
            )

        if name == "htmx":
            assert manage("migrate").wait() == 0, log.read_text()
        if kind == "serve":
            environment["WEBSOCKET_SERVER"] = f"127.0.0.1:{other}"
            stack.callback(end, manage("ws4redis", "serve", "--bind", f"127.0.0.1:{other}"))
            wait_for(lambda: is_listening(other))
        stack.callback(end, manage("runserver", "--noreload", f"127.0.0.1:{port}"))
        wait_for(lambda: is_listening(port))
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Any]:
    """Opens pages, each in a browser of its own; none may have failed in the end."""
    contexts, errors = [], []

    def opened(address: str) -> Page:
        context = browser.new_context()
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture(scope="module", params=KINDS)
def playground(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    redis_server: RedisServer,
) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("playground")
    with example("views", request.param, directory, redis_server.url) as address:
        yield address


@pytest.fixture(scope="module", params=KINDS)
def poll(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    redis_server: RedisServer,
) -> Iterator[str]:
    npm = shutil.which("npm")
    assert npm is not None
    if not (EXAMPLES / "htmx" / "node_modules").exists():
        subprocess.run([npm, "install"], cwd=EXAMPLES / "htmx", check=True)
    directory = tmp_path_factory.mktemp("poll")
    with example("htmx", request.param, directory, redis_server.url) as address:
        yield address


def say(page: Page, text: str) -> None:
    expect(page.locator("#state")).to_have_text("open")
    page.fill("[name=text]", text)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("[name=text]")).to_have_value("")


def test_two_pages_chat_with_names_and_colours(open_page: Any, playground: str) -> None:
    one, two = (open_page(f"{playground}/chat/") for _ in range(2))
    expect(two.locator("#state")).to_have_text("open")
    one.fill("[name=name]", "Ann")
    one.fill("[name=colour]", "#cc0000")
    say(one, "hello <b>you</b>")
    for page in (one, two):
        item = page.locator("#messages li").filter(has_text="hello")
        expect(item).to_have_text("Ann: hello <b>you</b>")
        expect(item.locator("strong")).to_have_css("color", "rgb(204, 0, 0)")
    one.fill("[name=name]", "Bea")
    say(one, "still me")
    expect(two.locator("#messages li").last).to_have_text("Bea: still me")


def test_the_echo_repeats(open_page: Any, playground: str) -> None:
    page = open_page(f"{playground}/echo/")
    say(page, "grüße")
    expect(page.locator("#messages li")).to_have_text(["> grüße", "< grüße"])


def test_ping_is_answered_and_nothing_else_is(open_page: Any, playground: str) -> None:
    page = open_page(f"{playground}/ping/")
    for text in ("hello", "ping"):
        say(page, text)
    expect(page.locator("#messages li")).to_have_text(["> hello", "> ping", "< pong"])
    say(page, "pong")
    expect(page.locator("#messages li").last).to_have_text("< ping")


def test_a_vote_is_shown_to_all_by_htmx(open_page: Any, poll: str) -> None:
    one, two = (open_page(poll) for _ in range(2))
    for page in (one, two):
        expect(page.locator("#results output")).to_have_text(["0", "0", "0"])
    one.get_by_label("Coffee").check()
    one.get_by_role("button", name="Vote").click()
    expect(one.locator("#answer")).to_have_text("Thank you.")
    for page in (one, two):
        expect(page.locator("#results output")).to_have_text(["0", "1", "0"])
    expect(two.locator("#answer")).to_have_text("")


def test_what_a_form_refuses_is_shown_by_htmx(open_page: Any, poll: str) -> None:
    page = open_page(poll)
    expect(page.locator("#results li")).to_have_count(3)
    page.get_by_label("Tea").check()
    page.get_by_label("Tea").evaluate("radio => (radio.value = 'absinthe')")
    page.get_by_role("button", name="Vote").click()
    expect(page.locator("#answer")).to_contain_text("Select a valid choice")


def test_the_browser_shows_the_status_of_a_refused_login(
    browser: Browser, directory: Path, redis_server: RedisServer, users: Any
) -> None:
    settings = {"WEBSOCKET_URLCONF": "tests.websocket_urls"}
    with (
        serving("runserver", directory, redis_server.url, **settings) as server,
        browser.new_context() as context,
    ):
        page = context.new_page()
        page.goto(server.page)
        shown: list[str] = []
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        network.on("Network.webSocketFrameError", lambda event: shown.append(event["errorMessage"]))
        code = page.evaluate(
            """address => new Promise(resolve => {
                new WebSocket(address).onclose = event => resolve(event.code);
            })""",
            f"ws://{server.host}/greet/",
        )
        assert code == 1006
        wait_for(lambda: shown or page.wait_for_timeout(10))
        assert shown[0].endswith("Unexpected response code: 403")
