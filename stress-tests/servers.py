"""Starts the servers that are compared, and a private Redis for each of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import redis
from contenders import Contender
from interrupts import postponed
from peers import PEERS
from processes import Process
from programs import HERE, SITE, compiled, installed
from publishers import CHANNEL, OWN_NAME
from waiting import wait_for

BACKLOG = 1024
MAX_CLIENTS = 60_000
"""Connections to Redis, some servers need one for each websocket."""


def _floor(port: int, redis_path: Path) -> list[str]:
    return [compiled("floor"), str(port), str(redis_path), CHANNEL]


def _serve(port: int, redis_path: Path) -> list[str]:
    return [sys.executable, "manage.py", "ws4redis", "serve", "--bind", f"127.0.0.1:{port}"]


def _uwsgi(port: int, redis_path: Path) -> list[str]:
    return [
        *[installed("pyuwsgi", "uwsgi"), "--http-socket", f"127.0.0.1:{port}", "--gevent", "1000"],
        *["--module", "wsgi_websocket", "--listen", str(BACKLOG), "--die-on-term"],
        *["--need-app", "--disable-logging"],
    ]


def _serve_patched(port: int, redis_path: Path) -> list[str]:
    return [*_serve(port, redis_path), "--monkey-patch"]


def _uwsgi_patched(port: int, redis_path: Path) -> list[str]:
    return [*_uwsgi(port, redis_path), "--gevent-early-monkey-patch"]


def _codec(port: int, redis_path: Path) -> list[str]:
    return [sys.executable, str(HERE / "echo_server.py"), str(port)]


SERVERS: dict[str, Contender] = {
    "floor": Contender(title="a C program with one send() for each delivery", command=_floor),
    "serve": Contender(title="manage.py ws4redis serve", command=_serve),
    "uwsgi": Contender(title="ws4redis in uWSGI with gevent", command=_uwsgi),
    "serve-patched": Contender(title="ws4redis serve --monkey-patch", command=_serve_patched),
    "uwsgi-patched": Contender(title="ws4redis in patched uWSGI", command=_uwsgi_patched),
    "codec": Contender(
        title="an echo on the engine itself",
        command=_codec,
        environment={"DJANGO_SETTINGS_MODULE": "conformance_settings"},
        address="/echo/",
    ),
    **PEERS,
}


def contender(name: str) -> Contender:
    """Return a contender; a second turn of it in a round shows how much is chance."""
    return SERVERS[name.removesuffix(" again")]


def is_peer(name: str) -> bool:
    """Return whether a contender is neither ours nor the floor."""
    return contender(name).is_peer


def missing(name: str) -> str:
    """Return why a contender can't take part here; nothing if it can."""
    return contender(name).missing()


def rate_of(name: str, wanted: float) -> float:
    """Return how many messages a second a contender gets where others get so many."""
    return min(wanted, contender(name).max_rate)


def start_redis(stack: ExitStack, directory: Path) -> tuple[redis.Redis, Path]:
    """Start a private Redis on a unix socket; return a client of it, and the socket's path."""
    path = directory / "redis.sock"
    command = [installed("redis-server", "valkey-server"), "--port", "0"]
    command += ["--unixsocket", str(path), "--save", "", "--dir", str(directory)]
    command += ["--maxclients", str(MAX_CLIENTS)]
    with postponed():
        process = stack.enter_context(Process(command, directory / "redis.log"))
    client = redis.Redis(unix_socket_path=str(path), client_name=OWN_NAME)
    stack.callback(client.close)
    _wait_until(process, lambda: _answers(client), "the start of Redis")
    return client, path


def site_environment(redis_path: Path) -> dict[str, str]:
    """Return the environment of the benchmark's project with a private Redis."""
    return {
        **os.environ,
        "REDIS_URL": f"unix://{redis_path}?db=0",
        "BENCH_CACHE": f"unix://{redis_path}?db=1",
        "BENCH_DATABASE": str(redis_path.with_name("db.sqlite3")),
        "PYTHONPATH": str(HERE.parent),
    }


def run_in_site(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a program of the project to its end; return what it prints."""
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=SITE, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def start_server(
    stack: ExitStack,
    kind: str,
    redis_path: Path,
    environment: Mapping[str, str],
    arguments: Sequence[str] = (),
) -> tuple[Process, int]:
    """Start one of the servers, perhaps with more arguments; return it and its port."""
    own, port = contender(kind), free_port()
    command = [*own.command(port, redis_path), *arguments]
    log = redis_path.parent / "server.log"
    with postponed():
        process = stack.enter_context(
            Process(
                command,
                log,
                directory=own.directory,
                environment={**environment, **own.environment},
            )
        )
    _wait_until(process, lambda: listens(port), f"the start of {kind}")
    return process, port


def _wait_until(process: Process, condition: Callable[[], bool], what: str) -> None:
    def holds() -> bool:
        process.check()
        return condition()

    wait_for(holds, what)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
