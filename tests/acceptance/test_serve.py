"""What ``manage.py ws4redis serve`` does for a production site."""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.sync.client import unix_connect

from tests.acceptance.test_facility import receive
from tests.deployments import ROOT, free_port, is_listening
from tests.raw import HANDSHAKE, RawClient
from tests.servers import RedisServer, end
from tests.waiting import PATIENCE, wait_for
from ws4redis.publisher import RedisPublisher

_numbers = itertools.count()
FLAGS = "subscribe-broadcast&publish-broadcast&echo"


class Serve:
    """A running ``serve`` with options of a test's own."""

    def __init__(self, directory: Path, redis_url: str, *options: str, **popen: Any) -> None:
        self._log = directory / f"serve-{next(_numbers)}.log"
        environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{directory}",
            "REDIS_URL": redis_url,
            **popen.pop("env", {}),
        }
        python = popen.pop("python", sys.executable)
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [python, "-m", "django", "ws4redis", "serve", *options],
                env=environment,
                cwd=ROOT,
                stdout=output,
                stderr=output,
                **popen,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_until_served(self) -> None:
        wait_for(lambda: "Websockets are served at" in self.log or self.process.poll() is not None)
        assert self.process.poll() is None, self.log

    def workers(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children()}


@contextmanager
def serve(directory: Path, redis: RedisServer, *options: str, **popen: Any) -> Iterator[Serve]:
    running = Serve(directory, redis.url, *options, **popen)
    try:
        running.wait_until_served()
        yield running
    finally:
        if running.process.poll() is None:
            end(running.process)


def get(port: int, path: str) -> tuple[int, str]:
    """Return the status and the body of an HTTP answer."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as asking:
        asking.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := asking.recv(65536):
            answer += data
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), body.strip()


@pytest.fixture
def run() -> Iterator[Path]:
    """A directory whose name is short enough for unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="ws4redis-run-"))
    yield path
    shutil.rmtree(path)


def test_a_unix_socket_has_the_wanted_rights(
    tmp_path: Path, run: Path, redis_server: RedisServer, users: Any, facility: str
) -> None:
    path = run / "web.socket"
    rights = ("--socket-mode", "660", "--socket-group", "www-data")
    with serve(tmp_path, redis_server, "--bind", f"unix:{path}", *rights):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert path.group() == "www-data"
        with unix_connect(str(path), f"ws://x/ws/{facility}?{FLAGS}") as websocket:
            websocket.send("through a file")
            assert receive(websocket) == "through a file"
    assert not path.exists()


def test_every_user_may_connect_by_default(
    tmp_path: Path, run: Path, redis_server: RedisServer, users: Any
) -> None:
    path = run / "web.socket"
    with serve(tmp_path, redis_server, "--bind", f"unix:{path}"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666


def test_a_socket_file_of_a_killed_server_is_no_obstacle(
    tmp_path: Path, run: Path, redis_server: RedisServer, users: Any
) -> None:
    path = run / "web.socket"
    with serve(tmp_path, redis_server, "--bind", f"unix:{path}") as first:
        end(first.process, signal.SIGKILL)
        assert path.exists()
        with serve(tmp_path, redis_server, "--bind", f"unix:{path}"):
            second = Serve(tmp_path, redis_server.url, "--bind", f"unix:{path}")
            assert second.process.wait(PATIENCE) == 1
            assert "another server listens there" in second.log


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--bind", "nonsense"], "Can't listen at 'nonsense': it must be HOST:PORT or unix:PATH"),
        (["--bind", "127.0.0.1:99999"], "Can't listen at '127.0.0.1:99999'"),
        (["--bind", "192.0.2.1:80"], "Can't listen at '192.0.2.1:80'"),
        (["--bind", "unix:/nowhere/x"], "Can't listen at 'unix:/nowhere/x'"),
        (["--bind", "unix:{run}/free", "--bind", "nonsense"], "Can't listen at 'nonsense'"),
        (["--bind", "unix:{run}/precious"], "there is a file that is no socket"),
        (["--workers", "0"], "must be a whole number of at least 1, got '0'"),
        (["--workers", "many"], "must be a whole number of at least 1, got 'many'"),
        (["--socket-mode", "888"], "must be permissions such as 660, got '888'"),
        (["--socket-mode", "7777"], "must be permissions such as 660, got '7777'"),
        (["--bind", "unix:{run}/x", "--socket-group", "nobody-here"], "no group 'nobody-here'"),
    ],
)
def test_what_can_not_be_is_named(
    tmp_path: Path,
    run: Path,
    redis_server: RedisServer,
    users: Any,
    options: list[str],
    reason: str,
) -> None:
    precious = run / "precious"
    precious.write_text("not to be lost")
    options = [option.format(run=run) for option in options]
    refused = Serve(tmp_path, redis_server.url, *options)
    assert refused.process.wait(PATIENCE) != 0
    assert reason in refused.log
    assert "Traceback" not in refused.log
    assert precious.read_text() == "not to be lost"
    assert list(run.iterdir()) == [precious]


def test_it_listens_at_several_addresses(
    tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    ports = [free_port(), free_port()]
    binds = [item for port in ports for item in ("--bind", f"127.0.0.1:{port}")]
    with serve(tmp_path, redis_server, *binds):
        assert [get(port, "/healthz") for port in ports] == [(200, "alive")] * 2


def test_it_opens_as_many_files_as_it_may(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    port = free_port()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, hard))

    options = ("--bind", f"127.0.0.1:{port}")
    with serve(tmp_path, redis_server, *options, preexec_fn=lower):
        url = f"ws://127.0.0.1:{port}/ws/{facility}?{FLAGS}"
        clients = [open_websocket(url) for _ in range(60)]
        clients[0].send("to all")
        assert [receive(client) for client in clients] == ["to all"] * 60


def test_health_follows_redis(tmp_path: Path, own_redis: RedisServer, users: Any) -> None:
    port = free_port()
    with serve(tmp_path, own_redis, "--bind", f"127.0.0.1:{port}"):
        wait_for(lambda: get(port, "/readyz") == (200, "ready"))
        own_redis.stop()
        wait_for(lambda: get(port, "/readyz") == (503, "no link to Redis"))
        assert get(port, "/healthz") == (200, "alive")
        own_redis.start()
        wait_for(lambda: get(port, "/readyz") == (200, "ready"))


def test_while_it_drains_it_is_alive_and_not_ready(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    port = free_port()
    # A client that never answers the close frame holds the process for the drain time.
    with (
        serve(tmp_path, redis_server, "--bind", f"127.0.0.1:{port}") as running,
        silent_websocket(port, facility),
        keep_alive(port) as ask,
    ):
        assert ask("/readyz") == 200
        running.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not is_listening(port))
        assert ask("/readyz") == 503
        assert ask("/healthz") == 200


def handshake(facility: str) -> bytes:
    return RawClient.request("x", f"/ws/{facility}", HANDSHAKE)


@contextmanager
def silent_websocket(place: int | Path, facility: str) -> Iterator[None]:
    """Open a websocket at a port or a unix socket, and never answer a close frame."""
    family = socket.AF_UNIX if isinstance(place, Path) else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(PATIENCE)
        client.connect(str(place) if isinstance(place, Path) else ("127.0.0.1", place))
        client.sendall(handshake(facility))
        assert b" 101 " in client.recv(4096)
        yield


@contextmanager
def keep_alive(port: int) -> Iterator[Callable[[str], int]]:
    """Ask several times on one connection."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def ask(path: str) -> int:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    with closing(connection):
        yield ask


def test_a_stop_before_all_workers_serve_is_no_failure(
    tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    (tmp_path / "slow.py").write_text(
        "import os, time\nfrom tests.settings import *\n"
        "if '_WS4REDIS_INHERITANCE' in os.environ: time.sleep(60)\n"
    )
    starting = Serve(
        tmp_path,
        redis_server.url,
        *["--bind", f"127.0.0.1:{free_port()}", "--workers", "2"],
        env={"DJANGO_SETTINGS_MODULE": "slow"},
    )
    wait_for(lambda: len(starting.workers()) == 2)
    assert end(starting.process) == 0
    assert "did not end" not in starting.log


def test_a_dead_worker_is_replaced(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    port = free_port()
    options = ("--bind", f"127.0.0.1:{port}", "--workers", "2")
    with serve(tmp_path, redis_server, *options) as running:
        before = running.workers()
        assert len(before) == 2
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: len(running.workers() - {victim}) == 2)
        assert f"Process {victim} ended with status -9" in running.log
        url = f"ws://127.0.0.1:{port}/ws/{facility}?{FLAGS}"
        clients = [open_websocket(url) for _ in range(10)]
        RedisPublisher(facility=facility, broadcast=True).publish_message("to all")
        assert [receive(client) for client in clients] == ["to all"] * 10


def test_workers_end_with_their_supervisor(
    tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    options = ("--bind", f"127.0.0.1:{free_port()}", "--workers", "2")
    with serve(tmp_path, redis_server, *options) as running:
        workers = [psutil.Process(pid) for pid in running.workers()]
        end(running.process, signal.SIGKILL)
        _, alive = psutil.wait_procs(workers, PATIENCE)
        assert alive == []


def test_a_reload_that_fails_leaves_the_old_workers(
    tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    port, settings = free_port(), tmp_path / "changing.py"
    settings.write_text("from tests.settings import *\n")
    environment = {"DJANGO_SETTINGS_MODULE": "changing", "PYTHONDONTWRITEBYTECODE": "1"}
    options = ("--bind", f"127.0.0.1:{port}", "--workers", "2")
    with serve(tmp_path, redis_server, *options, env=environment) as running:
        before = running.workers()
        settings.write_text("from tests.settings import *\nraise ValueError('a mistake')\n")
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "ended before it served; the old ones go on" in running.log)
        wait_for(lambda: running.workers() == before)
        assert get(port, "/healthz") == (200, "alive")
        settings.write_text("from tests.settings import *\nWS4REDIS_HEARTBEAT = 'new'\n")
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(running.workers()) == 2 and not running.workers() & before)


def test_a_single_process_goes_on_if_the_new_code_does_not_start(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    port, settings = free_port(), tmp_path / "changing_alone.py"
    settings.write_text("from tests.settings import *\n")
    environment = {"DJANGO_SETTINGS_MODULE": "changing_alone", "PYTHONDONTWRITEBYTECODE": "1"}
    options = ("--bind", f"127.0.0.1:{port}")
    with serve(tmp_path, redis_server, *options, env=environment) as running:
        client = open_websocket(f"ws://127.0.0.1:{port}/ws/{facility}?{FLAGS}")
        settings.write_text("from tests.settings import *\nWS4REDIS_EXPIRE = 'soon'\n")
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "The new code does not start; the old goes on" in running.log)
        assert "WS4REDIS_EXPIRE" in running.log
        client.send("still there")
        assert receive(client) == "still there"
        settings.write_text("from tests.settings import *\n")
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: running.log.count("Websockets are served at") == 2)


def test_a_reload_waits_for_redis(
    tmp_path: Path, own_redis: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    port = free_port()
    options = ("--bind", f"127.0.0.1:{port}", "--workers", "2")
    with serve(tmp_path, own_redis, *options) as running:
        client = open_websocket(f"ws://127.0.0.1:{port}/ws/{facility}?{FLAGS}")
        before = running.workers()
        own_redis.stop()
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "got no link to Redis; the old ones go on" in running.log, patience=30)
        wait_for(lambda: running.workers() == before)
        own_redis.start()
        wait_for(lambda: get(port, "/readyz") == (200, "ready"))
        wait_for(lambda: sends_and_receives(client))


def sends_and_receives(client: Any) -> bool:
    client.send("still there")
    return bool(receive(client) == "still there")


def test_a_first_start_that_fails_ends_with_an_error(
    tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    (tmp_path / "once.py").write_text(
        "import os\nfrom tests.settings import *\n"
        "assert '_WS4REDIS_INHERITANCE' not in os.environ, 'only for the supervisor'\n"
    )
    refused = Serve(
        tmp_path,
        redis_server.url,
        *["--bind", f"127.0.0.1:{free_port()}", "--workers", "2"],
        env={"DJANGO_SETTINGS_MODULE": "once"},
    )
    assert refused.process.wait(PATIENCE) == 1
    assert "ended before it served" in refused.log


def test_logs_are_lines_of_json(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    port = free_port()
    options = ("--bind", f"127.0.0.1:{port}", "--log-format", "json")
    with serve(tmp_path, redis_server, *options) as running:
        open_websocket(f"ws://127.0.0.1:{port}/ws/{facility}")
        get(port, "/ws/")
        records = [json.loads(line) for line in running.log.splitlines() if line.startswith("{")]
    opened, refused = records
    assert opened["level"] == "INFO"
    assert opened["message"] == f"Opened '/ws/{facility}' for 127.0.0.1"
    assert (opened["path"], opened["client"]) == (f"/ws/{facility}", "127.0.0.1")
    assert refused["level"] == "WARNING"
    assert (refused["path"], refused["status"]) == ("/ws/", 404)
    assert {"timestamp", "logger", "process"} <= set(refused)


def test_a_level_silences_what_is_below_it(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    port = free_port()
    options = ("--bind", f"127.0.0.1:{port}", "--log-level", "error")
    with serve(tmp_path, redis_server, *options) as running:
        open_websocket(f"ws://127.0.0.1:{port}/ws/{facility}")
        assert get(port, "/ws/")[0] == 404
        assert "Opened" not in running.log
        assert "Refused" not in running.log


def test_a_successor_keeps_its_socket_file(
    tmp_path: Path, run: Path, redis_server: RedisServer, users: Any, facility: str
) -> None:
    path = run / "web.socket"
    bind = ("--bind", f"unix:{path}")
    with serve(tmp_path, redis_server, *bind) as first, silent_websocket(path, facility):
        first.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not path.exists())
        with serve(tmp_path, redis_server, *bind):
            assert first.process.wait(PATIENCE) == 0
            with unix_connect(str(path), f"ws://x/ws/{facility}?{FLAGS}") as websocket:
                websocket.send("through a file")
                assert receive(websocket) == "through a file"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stop_during_a_reload_is_a_stop(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, workers: str
) -> None:
    port = free_port()
    options = ("--bind", f"127.0.0.1:{port}", "--workers", workers)
    with serve(tmp_path, redis_server, *options) as running, silent_websocket(port, facility):
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: workers == "1" or "Reloaded" in running.log)
        assert end(running.process) == 0
    assert not is_listening(port)


def test_a_reload_without_an_interpreter_leaves_the_old_workers(
    tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    port, python = free_port(), tmp_path / "python"
    python.symlink_to(Path(sys.executable).resolve())
    packages = os.pathsep.join([str(ROOT), *(path for path in sys.path if "site-packages" in path)])
    options = ("--bind", f"127.0.0.1:{port}", "--workers", "2")
    environment = {"PYTHONPATH": packages}
    with serve(tmp_path, redis_server, *options, python=str(python), env=environment) as running:
        before = running.workers()
        python.unlink()
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "could not be started; the old ones go on" in running.log)
        wait_for(lambda: running.workers() == before)
        assert get(port, "/healthz") == (200, "alive")


def test_threads_of_the_site_do_not_take_the_signals(
    tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading, time\nfrom tests.settings import *\n"
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "threaded"}
    options = ("--bind", f"127.0.0.1:{free_port()}", "--workers", "2")
    with serve(tmp_path, redis_server, *options, env=environment) as running:
        for _ in range(20):
            running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "Reloaded" in running.log)
        assert end(running.process) == 0


def test_a_worker_that_does_not_end_is_killed(
    tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    (tmp_path / "stubborn.py").write_text(
        "import atexit, os, time\nfrom tests.settings import *\nWS4REDIS_DRAIN_TIME = 0\n"
        "if '_WS4REDIS_INHERITANCE' in os.environ: atexit.register(time.sleep, 600)\n"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "stubborn"}
    options = ("--bind", f"127.0.0.1:{free_port()}", "--workers", "2")
    with serve(tmp_path, redis_server, *options, env=environment) as running:
        before = running.workers()
        running.process.send_signal(signal.SIGHUP)
        # New ones start first, and then the old ones have some seconds.
        wait_for(lambda: not running.workers() & before, patience=2 * PATIENCE)
        assert "did not end; killing it" in running.log


def test_a_handshake_under_way_gets_an_answer(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str
) -> None:
    port = free_port()
    settings = {"WS4REDIS_ALLOWED_CHANNELS": "tests.policies.slowly"}
    decision = tmp_path / "decision"
    environment = {
        "WS4REDIS_TEST_SETTINGS": json.dumps(settings),
        "WS4REDIS_TEST_DECISION": str(decision),
    }
    options = ("--bind", f"127.0.0.1:{port}")
    with (
        serve(tmp_path, redis_server, *options, env=environment) as running,
        socket.create_connection(("127.0.0.1", port), PATIENCE) as client,
    ):
        client.sendall(handshake(facility))
        wait_for(lambda: "The policy thinks" in running.log)
        running.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not is_listening(port))
        decision.touch()
        assert b" 503 " in client.recv(4096)


def test_a_systemd_that_is_not_there_is_no_obstacle(
    tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    environment = {"NOTIFY_SOCKET": "/nowhere/notify"}
    options = ("--bind", f"127.0.0.1:{free_port()}")
    with serve(tmp_path, redis_server, *options, env=environment) as running:
        wait_for(lambda: "systemd can't be told at '/nowhere/notify'" in running.log)
        assert end(running.process) == 0


class Systemd:
    """What systemd gives a service of ``Type=notify``: a socket for messages."""

    def __init__(self, run: Path) -> None:
        self.path = run / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.settimeout(PATIENCE)

    def next(self) -> dict[str, str]:
        lines = self._socket.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def close(self) -> None:
        self._socket.close()


@pytest.mark.parametrize("more", [[], ["--monkey-patch"]], ids=["plain", "patched"])
@pytest.mark.parametrize("workers", ["1", "3"])
def test_systemd_hands_over_a_socket_and_is_told_what_happens(
    tmp_path: Path, run: Path, redis_server: RedisServer, users: Any, workers: str, more: list[str]
) -> None:
    systemd = Systemd(run)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        # As systemd does: the socket is descriptor 3, and LISTEN_PID is the process itself.
        launch = (
            "import os, sys; "
            f"os.dup2({listener.fileno()}, 3); os.environ['LISTEN_PID'] = str(os.getpid()); "
            "os.execv(sys.executable, [sys.executable, '-m', 'django', 'ws4redis', 'serve', "
            f"'--workers', '{workers}', *{more}])"
        )
        environment = {
            **os.environ,
            **{"PYTHONPATH": str(ROOT), "REDIS_URL": redis_server.url},
            **{"LISTEN_FDS": "1", "NOTIFY_SOCKET": str(systemd.path)},
        }
        process = subprocess.Popen(
            [sys.executable, "-c", launch],
            env=environment,
            cwd=ROOT,
            pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL,
        )
    try:
        assert systemd.next()["READY"] == "1"
        assert get(port, "/healthz") == (200, "alive")
        process.send_signal(signal.SIGHUP)
        reloading = systemd.next()
        assert reloading["RELOADING"] == "1"
        assert reloading["MONOTONIC_USEC"].isdecimal()
        assert systemd.next()["READY"] == "1"
        assert get(port, "/healthz") == (200, "alive")
        end(process)
        assert systemd.next() == {"STOPPING": "1"}
    finally:
        if process.poll() is None:
            end(process)
        systemd.close()
