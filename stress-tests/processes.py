"""What is started for a measurement, and what the kernel says of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
PATIENCE = 60
CHANNEL = "broadcast:bench"
ADDRESS = "/ws/bench?subscribe-broadcast"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def compiled(name: str) -> str:
    """Compile one of the C programs; return the path of its executable."""
    BUILD.mkdir(exist_ok=True)
    target = BUILD / name
    source = HERE / f"{name}.c"
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["cc", "-O2", "-w", "-o", str(target), str(source)], check=True)
    return str(target)


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError("It did not happen in time.")
        time.sleep(0.01)
    return result


class Process:
    """A started program, with all its children."""

    def __init__(self, command: list[str], **options: Any) -> None:
        self.popen = subprocess.Popen(command, start_new_session=True, **options)

    def tree(self) -> list[psutil.Process]:
        root = psutil.Process(self.popen.pid)
        return [root, *root.children(recursive=True)]

    def cpu(self) -> float:
        """Seconds of processor time, children included."""
        times = [process.cpu_times() for process in self.tree()]
        return float(sum(time.user + time.system for time in times))

    def memory(self) -> int:
        """Proportional memory in bytes, children included."""
        return int(sum(process.memory_full_info().pss for process in self.tree()))

    def stop(self) -> None:
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()


def start_server(kind: str, redis_path: Path) -> tuple[Process, int]:
    """Start one of the servers; return it and its port."""
    port = free_port()
    uwsgi = str(Path(sys.executable).parent / "pyuwsgi")
    commands = {
        "floor": [compiled("floor"), str(port), str(redis_path), CHANNEL],
        "serve": [sys.executable, "manage.py", "ws4redis", "serve", "--bind", f"127.0.0.1:{port}"],
        "uwsgi": [
            *[uwsgi, "--http-socket", f"127.0.0.1:{port}", "--gevent", "1000", "--die-on-term"],
            *["--module", "wsgi_websocket", "--disable-logging", "--listen", "1024"],
        ],
    }
    environment = {
        **os.environ,
        "REDIS_URL": f"unix://{redis_path}?db=0",
        "PYTHONPATH": str(HERE.parent),
    }
    process = Process(commands[kind], cwd=HERE / "site", env=environment, stdout=subprocess.DEVNULL)
    wait_for(lambda: _listens(port))
    return process, port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Load:
    """The load generator."""

    def __init__(self, port: int, address: str = ADDRESS) -> None:
        self._popen = subprocess.Popen(
            [compiled("load"), str(port), address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def connect(self, count: int) -> None:
        answer = self._ask(f"connect {count}")
        if answer.strip() != "connected":
            raise RuntimeError("The load generator could not connect.")

    def stats(self) -> dict[str, int]:
        stats: dict[str, int] = json.loads(self._ask("stats"))
        return stats

    def collect(self, expected: int) -> dict[str, Any]:
        """Wait until so many messages came; return what is known of them."""
        received, parts = 0, []

        def arrived() -> bool:
            nonlocal received
            parts.append(self.stats())
            received += parts[-1]["messages"]
            return received >= expected

        wait_for(arrived)
        return {"messages": received, "parts": parts}

    def stop(self) -> None:
        self._popen.communicate("quit\n", timeout=PATIENCE)

    def _ask(self, line: str) -> str:
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.write(f"{line}\n")
        self._popen.stdin.flush()
        return self._popen.stdout.readline()
