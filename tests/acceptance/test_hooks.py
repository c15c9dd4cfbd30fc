"""A hook of the site that fails, in whatever way, lets nobody in and harms nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_facility import BOTH, publish, receive
from tests.acceptance.test_lifecycle import come_back
from tests.hooks import SECRET
from tests.raw import HANDSHAKE, RawClient
from tests.servers import RedisServer, Server, serving

KINDS = ("serve", "serve-patched", "runserver", "uwsgi", "gunicorn-gevent", "gunicorn-sync")
HOOKS = {
    "WS4REDIS_ALLOWED_CHANNELS": "tests.hooks.allowed_channels",
    "WS4REDIS_PROCESS_REQUEST": "tests.hooks.process_request",
}


@pytest.fixture(scope="module", params=KINDS)
def hooked(
    request: pytest.FixtureRequest, directory: Path, redis_server: RedisServer, users: Any
) -> Iterator[Server]:
    patience = {"WS4REDIS_HOOK_TIMEOUT": 5}
    with serving(request.param, directory, redis_server.url, **HOOKS, **patience) as running:
        yield running


ERRORS = {
    "ValueError": 500,
    "KeyError": 500,
    "AttributeError": 500,
    "StopIteration": 500,
    "MemoryError": 500,
    "RecursionError": 500,
    "TimeoutError": 500,
    "BrokenPipeError": 500,
    "Http404": 500,
    "PermissionDenied": 403,
    "SuspiciousOperation": 400,
    "SystemExit": 500,
    "KeyboardInterrupt": 500,
    "GeneratorExit": 500,
    "GreenletExit": 500,
    "CancelledError": 500,
    "Timeout": 500,
    "BaseExceptionGroup": 500,
}


@pytest.mark.parametrize("hook", ["policy", "identity"])
@pytest.mark.parametrize("error", ERRORS)
def test_an_exception_refuses_and_tells_the_client_nothing(
    hooked: Server, facility: str, open_websocket: Any, hook: str, error: str
) -> None:
    bystander = open_websocket(hooked.url(f"{facility}?subscribe-broadcast"))
    before = len(hooked.log)
    address = f"/ws/{facility}?subscribe-broadcast&in={hook}&raise={error}"
    answer = RawClient.ask(hooked, address, {})
    assert answer.startswith(f"HTTP/1.1 {ERRORS[error]} ")
    assert "\r\nX-WS4Redis-Refused: handshake\r\n" in answer
    assert SECRET not in answer
    assert error not in answer
    log = hooked.log[before:]
    assert f"Refused '/ws/{facility}' for 127.0.0.1 with {ERRORS[error]}: " in log
    if ERRORS[error] == 500:
        assert "Traceback" in log
        assert f"{error}" in log
        assert SECRET in log
    publish(facility, "to who stays")
    assert receive(bystander) == "to who stays"


EVERYTHING = ["subscribe-broadcast", "publish-broadcast"]
LISTEN = ["subscribe-broadcast"]
GRANTED: dict[str, list[str] | None] = {
    # What a policy returns, and what a client then has of these two; None for a refusal.
    "none": EVERYTHING,
    "list": EVERYTHING,
    "tuple": EVERYTHING,
    "set": EVERYTHING,
    "generator": EVERYTHING,
    "everything": EVERYTHING,
    "unknown": LISTEN,
    "greedy": [],
    "empty": [],
    "response": [],
    "text": None,
    "one-text": None,
    "bytes": None,
    "true": None,
    "false": None,
    "number": None,
    "mapping": None,
    "multimapping": None,
    "unhashable": None,
    "generator-that-fails": None,
    "coroutine": None,
    "class": None,
    "object": None,
}


@pytest.mark.parametrize("returned", GRANTED)
def test_only_a_list_of_names_grants_what_it_names(
    hooked: Server, facility: str, returned: str
) -> None:
    address = f"/ws/{facility}?{'&'.join(EVERYTHING)}&in=policy&return={returned}"
    before = len(hooked.log)
    answer = RawClient.ask(hooked, address, {})
    assert SECRET not in answer
    granted = GRANTED[returned]
    if granted is None:
        assert answer.startswith("HTTP/1.1 500 ")
        assert answer.endswith("\r\n\r\nInternal error.\n")
        assert "Traceback" in hooked.log[before:]
    else:
        assert answer.startswith("HTTP/1.1 101 ")
        assert [name for name in EVERYTHING if f"{name} (not allowed)" not in answer] == granted


@pytest.mark.parametrize("returned", [name for name in GRANTED if name != "none"])
def test_who_identifies_the_visitor_returns_nothing(
    hooked: Server, facility: str, returned: str
) -> None:
    address = f"/ws/{facility}?subscribe-broadcast&in=identity&return={returned}"
    before = len(hooked.log)
    answer = RawClient.ask(hooked, address, {})
    assert answer.startswith("HTTP/1.1 500 ")
    assert SECRET not in answer
    assert "WS4REDIS_PROCESS_REQUEST must return nothing" in hooked.log[before:]


def test_a_slow_hook_keeps_only_its_own_visitor_waiting(
    hooked: Server, facility: str, open_websocket: Any
) -> None:
    if hooked.kind == "gunicorn-sync":
        pytest.skip("a worker of this kind does one request at a time")
    address = f"/ws/{facility}?subscribe-broadcast"
    open_before = open_websocket(hooked.url(f"{facility}?subscribe-broadcast"))
    with hooked.connect() as waiting:
        waiting.sendall(RawClient.request(hooked.host, f"{address}&in=policy&hang", HANDSHAKE))
        # These come later, and are served while the hook still thinks.
        later = open_websocket(hooked.url(f"{facility}?subscribe-broadcast"))
        publish(facility, "meanwhile")
        assert [receive(open_before), receive(later)] == ["meanwhile"] * 2
        waiting.settimeout(0.1)
        with pytest.raises(TimeoutError):
            waiting.recv(1)


@pytest.mark.parametrize("kind", ["serve", "uwsgi", "gunicorn-gevent"])
@pytest.mark.parametrize("hook", ["policy", "identity"])
def test_a_hook_that_never_ends_is_given_up(
    kind: str,
    hook: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    # More of them than threads and cores for hooks: those that wait for one are given up as well.
    patience = {"WS4REDIS_HOOK_TIMEOUT": 0.3, "WS4REDIS_HOOK_THREADS": 2}
    with serving(kind, tmp_path, redis_server.url, **HOOKS, **patience) as server:
        # The first one has to import what it needs, and may be given up as well.
        bystander = come_back(open_websocket, server.url(f"{facility}?subscribe-broadcast"))
        for _ in range(4):
            address = f"/ws/{facility}?subscribe-broadcast&in={hook}&hang"
            answer = RawClient.ask(server, address, {})
            assert answer.startswith("HTTP/1.1 503 ")
            assert "\r\nRetry-After: " in answer
        assert "took longer than WS4REDIS_HOOK_TIMEOUT" in server.log
        publish(facility, "to who stays")
        assert receive(bystander) == "to who stays"


@pytest.mark.parametrize("kind", ["serve", "runserver", "uwsgi"])
def test_a_hook_that_ends_its_caller_ends_nothing(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    quitting = {"WS4REDIS_SUBSCRIBER": "tests.subscribers.Quitting"}
    with serving(kind, tmp_path, redis_server.url, **quitting) as server:
        client = open_websocket(server.url(f"{facility}?{BOTH}&echo"))
        client.send("quit")
        client.send("still here")
        assert receive(client) == "still here"
        assert "secret detail" in server.log


def test_a_policy_may_be_an_object(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    policy = {"WS4REDIS_ALLOWED_CHANNELS": "tests.hooks.listening"}
    with serving("serve", tmp_path, redis_server.url, **policy) as server:
        client = open_websocket(server.url(f"{facility}?{BOTH}"))
        assert client.response.headers["X-WS4Redis-Refused"] == "publish-broadcast (not allowed)"
