"""``ws4redis.testing``, used as a site uses it: by Django's own test runner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.postgres import PostgresServer
from tests.servers import ROOT, RedisServer

NOWHERE = "redis://localhost:1/0"


def run(cases: str, redis_url: str, **settings: Any) -> None:
    """Run cases; fail as they fail."""
    command = [sys.executable, "-W", "error", "-m", "django", "test", "tests.suite"]
    command += ["--pattern", f"cases_{cases}.py", "--shuffle"]
    environment = {
        **os.environ,
        "REDIS_URL": redis_url,
        "PYTHONPATH": str(ROOT),
        # Playwright runs an event loop in the thread of the test.
        "DJANGO_ALLOW_ASYNC_UNSAFE": "yes" if cases == "browser" else "",
        "WS4REDIS_TEST_SETTINGS": json.dumps(settings),
    }
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 0" not in done.stderr


@pytest.fixture(scope="module")
def postgres() -> Iterator[dict[str, Any]]:
    server = PostgresServer()
    server.start()
    yield {"default": server.settings()}
    server.stop()


@pytest.mark.parametrize("cases", ["views", "bus", "example"])
def test_without_redis(cases: str) -> None:
    run(cases, NOWHERE)


@pytest.mark.parametrize("cases", ["live", "browser", "example_live"])
def test_live_server(cases: str, redis_server: RedisServer) -> None:
    run(cases, redis_server.url)


@pytest.mark.parametrize("cases", ["views", "bus", "live"])
def test_another_database(cases: str, redis_server: RedisServer, postgres: dict[str, Any]) -> None:
    run(cases, redis_server.url if cases == "live" else NOWHERE, DATABASES=postgres)
