"""The echo of ``ws4redis.testing``, as the conformance suite talks to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deployments import ROOT, Site
from tests.raw import RawClient
from tests.servers import RedisServer, Server, end
from tests.waiting import wait_for


@pytest.fixture
def echo(tmp_path: Path, redis_server: RedisServer) -> Iterator[Server]:
    with Site("echo", tmp_path) as site, site.log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "echo_server.py", str(site.port)],
            cwd=ROOT / "stress-tests",
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "conformance_settings",
                "REDIS_URL": redis_server.url,
            },
            stdout=output,
            stderr=output,
        )
        server = Server(site, [process])
        try:
            wait_for(lambda: answers(server))
            yield server
        finally:
            end(process)


def answers(server: Server) -> bool:
    try:
        return " 400 " in RawClient.ask(server, "/", {"Upgrade": None})
    except OSError:
        return False


def test_everything_comes_back_as_it_was_and_in_order(echo: Server, open_raw: Any) -> None:
    client = open_raw(echo, "/any/address")
    client.send_bytes(
        client.frame("schön".encode())
        + client.frame(b"\x00\xff", opcode=2)
        + client.frame(b"there?", opcode=9)
        + client.frame(b"")
    )
    assert [client.receive_frame() for _ in range(4)] == [
        (1, "schön".encode()),
        (2, b"\x00\xff"),
        (10, b"there?"),
        (1, b""),
    ]
