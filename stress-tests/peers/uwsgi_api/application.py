"""Sends each client what comes on its own connection to Redis, as django-websocket-redis does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import hiredis
import uwsgi
from gevent import socket
from gevent.select import select

CHANNEL = "broadcast:bench"
REDIS = urlsplit(os.environ["REDIS_URL"]).path
WAKE_UP = 4.0
"""Seconds after which the client is looked at anyway, so that uWSGI can send its pings."""


class Subscription:
    """A connection to Redis for one client."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(REDIS)
        self._reader = hiredis.Reader()
        self._socket.sendall(f"SUBSCRIBE {CHANNEL}\r\n".encode())
        next(self.messages(), None)

    def fileno(self) -> int:
        return int(self._socket.fileno())

    def close(self) -> None:
        self._socket.close()

    def messages(self) -> Iterator[bytes]:
        """Yield what is there, after waiting for it."""
        data = self._socket.recv(65536)
        if not data:
            raise OSError("Redis closed the connection.")
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if reply[0] == b"message":
                yield reply[2]


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    with closing(Subscription()) as subscription:
        uwsgi.websocket_handshake()
        try:
            _serve(subscription)
        except OSError:
            pass  # The client went away.
    return []


def _serve(subscription: Subscription) -> None:
    client = uwsgi.connection_fd()
    while True:
        ready, _, _ = select([client, subscription], [], [], WAKE_UP)
        if subscription in ready:
            for message in subscription.messages():
                uwsgi.websocket_send(message)
        if client in ready or not ready:
            while uwsgi.websocket_recv_nb():
                pass
