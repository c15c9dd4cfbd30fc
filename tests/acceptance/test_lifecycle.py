"""A reload and a stop of every server, while websockets are open."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.test import override_settings
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection

from tests.acceptance.test_facility import receive
from tests.deployments import KINDS
from tests.servers import RedisServer, Server, end, serving
from tests.waiting import PATIENCE, wait_for
from ws4redis.publisher import RedisPublisher

CLIENTS = 20
GOING_AWAY, RESTART, ABNORMAL = 1001, 1012, 1006

WITHOUT_RELOAD = {"runserver", "stock-runserver"}
"""Their reload has a test of its own."""
SAY_RESTART = {"serve", "serve-workers", "nginx-upgrade", "nginx-systemd"}
MAY_CUT = {
    "uwsgi-router": "uWSGI's router ends before its workers",
    "uwsgi-source": "the same",
    "uwsgi-emperor": "the emperor holds the clients' ends, and goes first",
}
"""Where a stop may come before the goodbye, and why."""


def publish(redis_server: RedisServer, message: str) -> None:
    with override_settings(WS4REDIS_CONNECTION=redis_server.url):
        RedisPublisher(facility="life", broadcast=True).publish_message(message)


def close_code(client: ClientConnection) -> int:
    """Return the code with which the server ends a websocket."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            client.recv(timeout=PATIENCE)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else ABNORMAL
    raise AssertionError("The websocket is still open.")


def come_back(open_websocket: Any, url: str) -> ClientConnection:
    """Open a websocket as a client does that lost one: again and again."""

    def attempt() -> ClientConnection | None:
        try:
            return open_websocket(url)  # type: ignore[no-any-return]
        except (InvalidHandshake, OSError):
            return None

    return wait_for(attempt)  # type: ignore[no-any-return]


def received(
    client: ClientConnection, message: str, open_websocket: Any, url: str
) -> ClientConnection:
    """Return the websocket on which the message came.

    Workers end each at a time of its own, those of gunicorn's gevent within a second: who comes
    back may meet another old one, and has to come back once more.
    """
    try:
        assert receive(client) == message
    except ConnectionClosed:
        if client.close_code not in (GOING_AWAY, RESTART):
            raise
        return received(come_back(open_websocket, url), message, open_websocket, url)
    return client


def reload(server: Server) -> None:
    if server.kind == "uwsgi-emperor":
        touch(server.run / "vassals" / "wsserver.ini")
    elif server.kind in ("uwsgi-router", "uwsgi-source"):
        touch(server.run / "reload")
    else:
        server.process.send_signal(signal.SIGHUP)


def touch(path: Path) -> None:
    # uWSGI compares whole seconds.
    later = time.time() + 10
    os.utime(path, (later, later))


def has_link(redis_server: RedisServer) -> bool:
    with redis_server.client() as client:
        return any(one["name"] == "ws4redis" for one in client.client_list())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in WITHOUT_RELOAD])
def test_a_reload_loses_nobody_for_good(
    kind: str, tmp_path: Path, own_redis: RedisServer, open_websocket: Any, users: Any
) -> None:
    with serving(kind, tmp_path, own_redis.url) as server:
        url = server.url("life?subscribe-broadcast")
        clients = [open_websocket(url) for _ in range(CLIENTS)]
        publish(own_redis, "before")
        assert [receive(client) for client in clients] == ["before"] * CLIENTS
        reload(server)
        codes = {close_code(client) for client in clients}
        assert codes == ({RESTART} if kind in SAY_RESTART else {GOING_AWAY})
        publish(own_redis, "meanwhile")
        again = [come_back(open_websocket, url) for _ in range(CLIENTS)]
        again = [received(client, "meanwhile", open_websocket, url) for client in again]
        publish(own_redis, "after")
        for client in again:
            received(client, "after", open_websocket, url)
        assert "Traceback" not in server.log


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_stop_leaves_nothing_behind(
    kind: str, tmp_path: Path, own_redis: RedisServer, open_websocket: Any, users: Any
) -> None:
    with serving(kind, tmp_path, own_redis.url) as server:
        url = server.url("life?subscribe-broadcast")
        clients = [open_websocket(url) for _ in range(CLIENTS)]
        members = server.tree()
        assert has_link(own_redis)
        end(server.process, signal.SIGINT if "runserver" in kind else signal.SIGTERM)
        codes = {close_code(client) for client in clients}
        assert codes <= ({GOING_AWAY, ABNORMAL} if kind in MAY_CUT else {GOING_AWAY})
        wait_for(lambda: not has_link(own_redis))
        for process in server.processes[1:]:
            end(process)
        _, alive = psutil.wait_procs(members, PATIENCE)
        assert alive == []
        assert [path for path in server.run.iterdir() if path.is_socket()] == []
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        assert "Traceback" not in server.log


def test_the_end_is_spread_over_time(
    tmp_path: Path, own_redis: RedisServer, open_raw: Any, users: Any
) -> None:
    """As many websockets as are closed in a second take about as long, and not all go at once."""
    with serving("serve", tmp_path, own_redis.url) as server:
        clients = [open_raw(server, "/ws/life?subscribe-broadcast") for _ in range(500)]
        server.process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        assert clients_closed(clients, GOING_AWAY) == 500
        spread = time.monotonic() - begin
        everything = {"WS4REDIS_DRAIN_TIME": 0.1}
    with serving("serve", tmp_path, own_redis.url, **everything) as server:
        clients = [open_raw(server, "/ws/life?subscribe-broadcast") for _ in range(500)]
        server.process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        assert clients_closed(clients, GOING_AWAY) == 500
        assert time.monotonic() - begin < spread / 2


def clients_closed(clients: list[Any], code: int) -> int:
    return sum(client.receive_close_frame() == code for client in clients)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("uwsgi", {"workers = 1": "workers = 1\nworker-reload-mercy = 4\nreload-mercy = 4"}),
        ("gunicorn-gthread", {"workers = 2": "workers = 1\ngraceful_timeout = 4"}),
        ("gunicorn-gevent", {"workers = 2": "workers = 1\ntimeout = 4"}),
    ],
)
def test_clients_that_say_nothing_hold_nobody_beyond_the_mercy(
    kind: str,
    changes: dict[str, str],
    tmp_path: Path,
    own_redis: RedisServer,
    open_raw: Any,
    users: Any,
) -> None:
    with serving(kind, tmp_path, own_redis.url, changes=changes) as server:
        # They read the close frame, and never answer it.
        clients = [open_raw(server, "/ws/life?subscribe-broadcast") for _ in range(5)]
        server.process.send_signal(signal.SIGHUP)
        assert clients_closed(clients, GOING_AWAY) == 5
        wait_for(server.is_ready)
        end(server.process)
        killed = ("NO MERCY", "SIGKILL", "SIGABRT", "WORKER TIMEOUT")
        assert [word for word in killed if word in server.log] == []
