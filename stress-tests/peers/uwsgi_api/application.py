"""Sends each client what comes on its own connection to Redis, as django-websocket-redis does.

It waits by watchers that are made once. ``gevent.select.select()``, which django-websocket-redis
uses, makes them anew each time, and fails from descriptor 1024 on, with about 500 clients.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit

import hiredis
import uwsgi
from gevent import get_hub, socket
from gevent.hub import Waiter

CHANNEL = "broadcast:bench"
REDIS = urlsplit(os.environ["REDIS_URL"]).path
READABLE = 1
WAKE_UP = 4.0
"""Seconds after which the client is looked at anyway, so that uWSGI can send its pings."""


class Subscription:
    """A connection to Redis for one client."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(REDIS)
        self._reader = hiredis.Reader()
        self._socket.sendall(f"SUBSCRIBE {CHANNEL}\r\n".encode())
        # Confirmed before the websocket opens.
        assert not list(self.messages())

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


class Readiness:
    """Waits until one of some descriptors can be read, or for a time.

    A watcher runs only while it is waited for, as uWSGI switches to the hub, too, when it sends.
    """

    def __init__(self, *descriptors: int) -> None:
        loop = get_hub().loop
        self._watchers = {fd: loop.io(fd, READABLE) for fd in descriptors}
        self._watchers[-1] = loop.timer(WAKE_UP, repeat=WAKE_UP)

    def wait(self) -> int:
        """Return the descriptor; -1 if the time is over."""
        waiter = Waiter()
        for fd, watcher in self._watchers.items():
            watcher.start(waiter.switch, fd)
        try:
            return int(waiter.get())
        finally:
            for watcher in self._watchers.values():
                watcher.stop()

    def close(self) -> None:
        for watcher in self._watchers.values():
            watcher.close()


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    with closing(Subscription()) as subscription:
        uwsgi.websocket_handshake()
        client = uwsgi.connection_fd()
        # A failure means that the client went away.
        with closing(Readiness(client, subscription.fileno())) as readiness, suppress(OSError):
            _serve(subscription, readiness)
    return []


def _serve(subscription: Subscription, readiness: Readiness) -> None:
    while True:
        if readiness.wait() == subscription.fileno():
            for message in subscription.messages():
                uwsgi.websocket_send(message)
        else:
            while uwsgi.websocket_recv_nb():
                pass
