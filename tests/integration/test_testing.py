"""``ws4redis.testing``, used as a site uses it: by Django's own test runner."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.servers import ROOT, RedisServer


@pytest.mark.parametrize("cases", ["views", "bus", "live"])
def test_cases(cases: str, redis_server: RedisServer) -> None:
    command = [sys.executable, "-W", "error", "-m", "django", "test", "tests.suite"]
    command += ["--pattern", f"cases_{cases}.py"]
    environment = {**os.environ, "REDIS_URL": redis_server.url, "PYTHONPATH": str(ROOT)}
    if cases != "live":
        environment["REDIS_URL"] = "redis://localhost:1/0"
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 0" not in done.stderr
