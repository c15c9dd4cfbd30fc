"""``manage.py ws4redis serve --monkey-patch``, however the command is started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.sync.client import connect

from tests.deployments import ROOT, free_port
from tests.servers import RedisServer, end
from tests.waiting import PATIENCE, wait_for

MANAGE = """
import os, sys
import beside
if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""
OPTIONS = ("--monkey-patch", "--log-format", "plain")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A manage.py in another directory than the one it is started in, with a module beside it."""
    (tmp_path / "beside.py").touch()
    path = tmp_path / "manage.py"
    path.write_text(MANAGE)
    return path


@contextmanager
def served(
    redis: RedisServer, log: Path, port: int, command: list[str], *options: str
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": redis.url,
        "WS4REDIS_TEST_SETTINGS": '{"WEBSOCKET_URLCONF": "tests.websocket_urls"}',
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "ws4redis", "serve", "--bind", f"127.0.0.1:{port}", *OPTIONS, *options],
            env=environment,
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: "are served at" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        if process.poll() is None:
            assert end(process) == 0, log.read_text()


def runs_in(port: int) -> str:
    """Return what a view of the server at a port runs in."""
    with connect(f"ws://127.0.0.1:{port}/where/", open_timeout=PATIENCE) as websocket:
        return str(websocket.recv(timeout=PATIENCE))


WAYS = ("script", "module", "glued", "options", "program")


@pytest.mark.parametrize("way", WAYS)
def test_views_run_in_greenlets_however_it_was_started(
    redis_server: RedisServer, users: Any, script: Path, tmp_path: Path, way: str
) -> None:
    admin = shutil.which("django-admin", path=str(Path(sys.executable).parent))
    command = {
        "script": [sys.executable, str(script)],
        "module": [sys.executable, "-m", "django"],
        "glued": [sys.executable, "-Bmdjango"],
        "options": [sys.executable, "-X", "dev", "-Bm", "django"],
        "program": [sys.executable, str(admin)],
    }[way]
    port = free_port()
    with served(redis_server, tmp_path / "log", port, command) as process:
        assert runs_in(port) == "greenlet"
        assert (way == "options") == ("dev" in psutil.Process(process.pid).cmdline())


def test_its_workers_run_views_in_greenlets_and_are_replaced_at_a_reload(
    redis_server: RedisServer, users: Any, script: Path, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    command = [sys.executable, str(script)]
    with served(redis_server, log, port, command, "--workers", "2") as process:
        parent = psutil.Process(process.pid)
        first = {child.pid for child in parent.children()}
        assert len(first) == 2
        assert runs_in(port) == "greenlet"
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "Reloaded." in log.read_text())
        wait_for(lambda: not first & {child.pid for child in parent.children()})
        assert runs_in(port) == "greenlet"


def test_it_reloads_in_place(
    redis_server: RedisServer, users: Any, script: Path, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    with served(redis_server, log, port, [sys.executable, str(script)]) as process:
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: log.read_text().count("are served at") == 2)
        assert runs_in(port) == "greenlet"


def test_a_program_that_is_no_file_can_not_be_started_anew(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    program = "from django.core.management import execute_from_command_line as e; import sys;"
    command = [sys.executable, "-c", f"{program} e(sys.argv)", "ws4redis", "serve", *OPTIONS]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "REDIS_URL": redis_server.url}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "--monkey-patch: Start it by manage.py" in done.stderr
