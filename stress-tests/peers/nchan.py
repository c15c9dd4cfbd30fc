"""nchan: a module of nginx that keeps messages in its memory, and takes them by HTTP POST."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from contenders import Contender
from publishers import Publisher

from peers.installation import needs

MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
PIPELINED = 100
"""POSTs that are sent before their answers are read."""
CONFIGURATION = """
load_module {module};
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {run}/nginx.pid;
error_log stderr error;
events {{ worker_connections 65536; }}
http {{
    access_log off;
    client_body_temp_path {run}/client_body;
    proxy_temp_path {run}/proxy;
    fastcgi_temp_path {run}/fastcgi;
    uwsgi_temp_path {run}/uwsgi;
    scgi_temp_path {run}/scgi;
    # The connection that messages come by stays open.
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    nchan_shared_memory_size 256M;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location = /subscribe {{
            nchan_subscriber websocket;
            nchan_subscriber_first_message newest;
            nchan_channel_id bench;
        }}
        location = /publish {{
            nchan_publisher http;
            nchan_channel_id bench;
            nchan_message_buffer_length {buffer};
        }}
    }}
}}
"""
BUFFER = 2000
"""Messages that it keeps for clients which are behind: all of a burst."""


def _command(port: int, redis_path: Path) -> list[str]:
    run = redis_path.parent
    path = run / "nginx.conf"
    path.write_text(CONFIGURATION.format(module=MODULE, run=run, port=port, buffer=BUFFER))
    return [_nginx() or "nginx", "-p", str(run), "-c", str(path)]


def _nginx() -> str | None:
    """Return the path of nginx, which may be where only root's PATH leads."""
    places = (os.environ.get("PATH", ""), "/usr/sbin")
    return shutil.which("nginx", path=os.pathsep.join(places))


def _missing() -> str:
    return needs(MODULE)() if _nginx() else "there is no nginx; run make bench-peers"


class HttpPublisher:
    """Posts messages on one connection that stays open."""

    def __init__(self, connection: socket.socket, answers: BinaryIO) -> None:
        self._connection = connection
        self._answers = answers

    def publish(self, messages: Sequence[bytes]) -> None:
        for start in range(0, len(messages), PIPELINED):
            some = messages[start : start + PIPELINED]
            self._connection.sendall(b"".join(map(_request, some)))
            for _ in some:
                self._take_answer()

    def _take_answer(self) -> None:
        status = self._answers.readline()
        if b" 20" not in status:
            raise RuntimeError(f"nchan did not take a message: {status!r}")
        size = 0
        while (line := self._answers.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                size = int(line[15:])
        self._answers.read(size)


def _request(message: bytes) -> bytes:
    head = b"POST /publish HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n"
    return head % len(message) + message


@contextmanager
def _publisher(port: int, redis_path: Path) -> Iterator[Publisher]:
    with (
        socket.create_connection(("127.0.0.1", port)) as connection,
        connection.makefile("rb") as answers,
    ):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield HttpPublisher(connection, answers)


CONTENDER = Contender(
    title="nginx with nchan",
    command=_command,
    address="/subscribe",
    publisher=_publisher,
    missing=_missing,
    is_peer=True,
)
