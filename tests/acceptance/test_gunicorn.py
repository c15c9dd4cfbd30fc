"""What gunicorn writes, and what it is told when it is started in a way that can't work."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_facility import BOTH, receive
from tests.deployments import ROOT, Site, executable
from tests.raw import RawClient
from tests.servers import RedisServer, Server, end
from tests.waiting import wait_for

WORKERS = ("gevent", "gthread", "sync")


@contextmanager
def gunicorn(
    directory: Path, redis_server: RedisServer, *options: str, kind: str = "gunicorn"
) -> Iterator[Server]:
    """Run gunicorn with both loops and some options; ``{run}`` is the directory of its files."""
    with Site(kind, directory) as site, site.log.open("wb") as output:
        site.make_certificate()
        process = subprocess.Popen(
            [
                *[executable("gunicorn"), "--bind", site.public, "wsgi"],
                *["--access-logfile", "-", *(option.format(run=site.run) for option in options)],
            ],
            cwd=ROOT / "tests" / "site",
            env={**os.environ, "PYTHONPATH": str(ROOT), "REDIS_URL": redis_server.url},
            stdout=output,
            stderr=output,
        )
        server = Server(site, [process])
        try:
            wait_for(lambda: "Booting worker" in server.log)
            yield server
        finally:
            end(process)


@pytest.mark.parametrize("worker", WORKERS)
def test_the_access_log_has_one_line_for_each_request(
    worker: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    with gunicorn(tmp_path, redis_server, "--worker-class", worker, "--threads", "2") as server:
        wait_for(server.is_ready)
        clients = [open_websocket(server.url(f"{facility}?{BOTH}&echo")) for _ in range(5)]
        clients[0].send("to all")
        assert [receive(client) for client in clients] == ["to all"] * 5
        for client in clients:
            client.close()
    # A line is written after its answer, the last ones when gunicorn ends.
    lines = [line for line in server.log.splitlines() if facility in line]
    pattern = rf'127\.0\.0\.1 .*"GET /ws/{facility}\?\S+ HTTP/1\.1" 101 0 .*'
    assert [line for line in lines if not re.fullmatch(pattern, line)] == []
    assert len(lines) == 5
    assert "Traceback" not in server.log


@pytest.mark.parametrize("worker", ["gevent", "gthread"])
def test_websockets_do_not_count_as_connections(
    worker: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    few = ("--worker-connections", "8", "--threads", "2")
    with gunicorn(tmp_path, redis_server, "--worker-class", worker, *few) as server:
        wait_for(server.is_ready)
        clients = [open_websocket(server.url(f"{facility}?{BOTH}&echo")) for _ in range(40)]
        clients[0].send("to all")
        assert [receive(client) for client in clients] == ["to all"] * 40
        assert server.is_ready()


@pytest.mark.parametrize("worker", WORKERS)
def test_tls_inside_of_gunicorn_is_refused_by_name(
    worker: str, tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    tls = ("--certfile", "{run}/mysite.crt", "--keyfile", "{run}/mysite.key")
    kind = "nginx-tls"  # what the client needs to know: the site speaks TLS
    with gunicorn(tmp_path, redis_server, "--worker-class", worker, *tls, kind=kind) as server:
        wait_for(server.is_ready)
        answer = RawClient.ask(server, "/ws/foo", {})
        assert answer.startswith("HTTP/1.1 500 ")
        assert "Websockets are not possible here." in answer
        assert "Let TLS end in a web server in front of it" in server.log
