"""Servers that many tests share, and clients."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from websockets.sync.client import ClientConnection, connect

from tests.chromium import chromium
from tests.deployments import KINDS
from tests.raw import RawClient
from tests.servers import RedisServer, Server, serving
from tests.waiting import PATIENCE

_numbers = itertools.count()
_untrusting = ssl.create_default_context()
_untrusting.check_hostname = False
_untrusting.verify_mode = ssl.CERT_NONE

Open = Callable[..., ClientConnection]


OF_MODULES = ("door", "site", "hooked", "playground", "poll")
"""Fixtures that are servers of one module."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let all tests of one kind of server run in one process, so that it is started once."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        kind = parameters.get("server") or parameters.get("kind")
        own = next((parameters[name] for name in OF_MODULES if name in parameters), None)
        if isinstance(kind, str):
            item.add_marker(pytest.mark.xdist_group(kind))
        elif isinstance(own, str):
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem} {own}"))


@pytest.fixture(scope="session", params=KINDS)
def server(
    request: pytest.FixtureRequest, directory: Path, redis_server: RedisServer, users: Any
) -> Iterator[Server]:
    with serving(request.param, directory, redis_server.url) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def view(server: Server, open_websocket: Open) -> Open:
    """Opens a websocket on a view of the server."""

    def opened(path: str, **options: Any) -> ClientConnection:
        return open_websocket(server.address(path), **options)

    return opened


@pytest.fixture
def facility() -> str:
    """A name that no other test uses."""
    return f"facility{next(_numbers)}"


@pytest.fixture
def open_websocket() -> Iterator[Open]:
    """Opens websockets and closes them in the end."""
    with ExitStack() as stack:

        def opened(url: str, cookie: str = "", **options: Any) -> ClientConnection:
            headers = {"Cookie": cookie} if cookie else {}
            headers |= options.pop("headers", {})
            # One that pauses at so many messages does not hear the answer to its close frame.
            options = {"open_timeout": PATIENCE, "max_queue": None, **options}
            if url.startswith("wss:"):
                options["ssl"] = _untrusting
            return stack.enter_context(
                connect(url, additional_headers=headers, proxy=None, **options)
            )

        yield opened


@pytest.fixture
def open_raw() -> Iterator[Callable[..., RawClient]]:
    """Opens websockets by hand and closes them in the end."""
    with ExitStack() as stack:

        def opened(*arguments: Any, **options: Any) -> RawClient:
            client = RawClient(*arguments, **options)
            stack.callback(client.close)
            return client

        yield opened
