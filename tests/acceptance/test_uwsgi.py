"""What uWSGI is told when it is started in a way that can't work, and what each option gives."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_facility import BOTH, publish, receive
from tests.acceptance.test_lifecycle import GOING_AWAY, close_code
from tests.deployments import PYUWSGI, ROOT, UWSGI_FROM_SOURCE, Site
from tests.servers import RedisServer, Server, end, serving
from tests.waiting import wait_for


@contextmanager
def uwsgi(
    directory: Path, redis_server: RedisServer, *options: str, module: str = "wsgi"
) -> Iterator[Server]:
    """Run uWSGI with both loops and some options; ``{}`` stands for the directory of its files."""
    with Site("uwsgi", directory) as site, site.log.open("wb") as output:
        site.make_certificate()
        # The wheel has no TLS.
        binary = UWSGI_FROM_SOURCE if "--https-socket" in options else PYUWSGI
        process = subprocess.Popen(
            [
                binary,
                *["--need-app", "--die-on-term", "--module", module, "--virtualenv", sys.prefix],
                *(option.format(site.public, run=site.run) for option in options),
            ],
            cwd=ROOT / "tests" / "site",
            env={**os.environ, "PYTHONPATH": str(ROOT), "REDIS_URL": redis_server.url},
            stdout=output,
            stderr=output,
        )
        try:
            yield Server(site, [process])
        finally:
            if process.poll() is None:
                end(process)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            ("--https-socket", "{},{run}/mysite.crt,{run}/mysite.key", "--gevent", "5"),
            "Let TLS end in a web server in front of it, such as nginx, or in uWSGI's router",
        ),
        (("--http-socket", "{}"), "start it with --gevent 100, or with --enable-threads"),
    ],
)
def test_what_can_not_work_is_refused_at_start_up(
    tmp_path: Path, redis_server: RedisServer, users: Any, options: tuple[str, ...], reason: str
) -> None:
    with uwsgi(tmp_path, redis_server, *options) as server:
        wait_for(lambda: server.process.poll() is not None)
        assert server.process.returncode != 0
        assert reason in server.log


def test_enabled_threads_are_enough(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    with uwsgi(tmp_path, redis_server, "--http-socket", "{}", "--enable-threads") as server:
        wait_for(server.is_ready)
        clients = [open_websocket(server.url(f"{facility}?{BOTH}&echo")) for _ in range(5)]
        clients[0].send("to all")
        assert [receive(client) for client in clients] == ["to all"] * 5


def test_a_wheel_that_would_not_survive_a_reload_is_named(
    tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    with uwsgi(tmp_path, redis_server, "--http-socket", "{}", "--gevent", "5") as server:
        wait_for(server.is_ready)
        warned = f"Start it with --binary-path {sys.prefix}/bin/python" in server.log
        assert warned == (sys.prefix != sys.base_prefix)


def test_patching_that_comes_too_late_is_named(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    late = ("--http-socket", "{}", "--gevent", "5", "--gevent-monkey-patch")
    with uwsgi(tmp_path, redis_server, *late) as server:
        wait_for(server.is_ready)
        open_websocket(server.url(facility))
        assert "Start uWSGI with --gevent-early-monkey-patch" in server.log


def test_what_the_site_does_at_the_end_is_still_done(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    options = ("--http-socket", "{}", "--gevent", "5")
    with uwsgi(tmp_path, redis_server, *options, module="wsgi_atexit") as server:
        wait_for(server.is_ready)
        client = open_websocket(server.url(facility))
        end(server.process)
        assert close_code(client) == GOING_AWAY
        assert "the site's own end" in server.log


@pytest.mark.parametrize(
    "kind",
    [
        *["uwsgi", "uwsgi-http-socket", "uwsgi-router", "uwsgi-threads", "uwsgi-emperor"],
        "nginx-unix",
    ],
)
def test_large_cookies_and_addresses_arrive_whole(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    cookies: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    with serving(kind, tmp_path, redis_server.url) as server:
        large = f"{cookies['john']}; cart={'x' * 3500}"
        query = f"{'&'.join(['ignored'] * 400)}&subscribe-user"
        client = open_websocket(server.url(f"{facility}?{query}"), large)
        publish(facility, "to john", users=["john"])
        assert receive(client) == "to john"
