"""All open connections of a process, and the one timer that beats, pings and buries them."""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from ws4redis.loop.admission import Admission, Place
from ws4redis.loop.backlog import Backlog
from ws4redis.loop.connection import Connection, Handler
from ws4redis.loop.eventstream import EventStream
from ws4redis.loop.options import Options
from ws4redis.loop.websocket import Websocket
from ws4redis.loop.wheel import Wheel
from ws4redis.metrics import Metrics
from ws4redis.wire.frames import Opcode, encode_frame

TICK = 0.1
"""Seconds between two turns of the wheels: fine enough that no turn serves too many at once."""

TCP_NOTSENT_LOWAT = 25
"""See tcp(7); not all Pythons know it."""
UNSENT = 2**17
"""Bytes that the kernel takes for a client before it can send them; more wait in the outbox. It
would take four megabytes of its own, and many slow clients all of its memory for sockets."""


class Registry:
    """The open connections of a process: websockets, and streams of events.

    Args:
        options: What the connections share.
        metrics: Where events are counted.
        io: Makes a watcher for ``(descriptor, events)``; ``hub.loop.io``.
        clock: Returns seconds that only grow.
    """

    def __init__(
        self,
        options: Options,
        metrics: Metrics,
        io: Callable[[int, int], Any],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now = clock
        self.options = options
        self.metrics = metrics
        self.io = io
        self.admission = Admission(options, metrics)
        self.backlog = Backlog(options.backlog_size)
        self._open: set[Connection] = set()
        self._ending: dict[Connection, int] = {}
        self._now = 0
        self._pings: Wheel[Connection] = Wheel(_turns(options.ping_interval or 1))
        self._beats: Wheel[Connection] = Wheel(_turns(options.heartbeat_interval))
        self.heartbeat = encode_frame(Opcode.TEXT, options.heartbeat or b"")
        """That of a websocket."""

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._open))

    def adopt(
        self,
        sock: socket.socket,
        handler: Handler,
        early: bytes = b"",
        place: Place | None = None,
        *,
        inflates: bool = False,
    ) -> Connection:
        """Turn a socket on which the handshake is done into an open websocket.

        Args:
            sock: The socket; it belongs to the connection from here on.
            handler: What the connection is used for.
            early: Bytes that the client sent together with its handshake.
            place: Its place, if it has entered the admission.
            inflates: Whether the client may compress its messages.
        """
        _prepare(sock)
        return self._begin(Websocket(sock, handler, self, inflates=inflates), early, place)

    def adopt_stream(
        self, sock: socket.socket, handler: Handler, place: Place | None = None
    ) -> Connection:
        """Turn a socket on which the answer has begun into an open stream of events.

        Args:
            sock: The socket; it belongs to the connection from here on.
            handler: What the connection is used for.
            place: Its place, if it has entered the admission.
        """
        _prepare(sock)
        return self._begin(EventStream(sock, handler, self), b"", place)

    def _begin(self, connection: Connection, early: bytes, place: Place | None) -> Connection:
        if place is not None:
            connection.place = place
            self.admission.entering.discard(place)
        connection.turns = (self._pings.add(connection), self._beats.add(connection))
        self._open.add(connection)
        self.metrics.event("connections.opened")
        connection.open(early)
        return connection

    def hush(self, connection: Connection) -> None:
        """Send no heartbeats to an open connection."""
        self._beats.discard(connection, connection.turns[1])

    def closing(self, connection: Connection) -> None:
        """Stop to beat and ping a connection; drop it if it isn't gone in time."""
        ping, beat = connection.turns
        self._pings.discard(connection, ping)
        self._beats.discard(connection, beat)
        self._ending[connection] = self._now + _turns(self.options.close_timeout)

    def discard(self, connection: Connection) -> None:
        """Forget a connection whose socket is gone."""
        self._open.discard(connection)
        if connection.place is not None:
            self.admission.leave(connection.place)
        self._ending.pop(connection, None)
        self.metrics.event("connections.closed")

    def tick(self) -> None:
        """Do what one turn of the wheels asks for; to be called every ``TICK`` seconds."""
        self._now += 1
        pinged = self._pings.turn()
        if self.options.ping_interval is not None:
            for connection in pinged:
                self._check(connection)
        beats = self._beats.turn()
        if self.options.heartbeat:
            for connection in beats:
                connection.beat()
        # Deadlines are in the order of entry, as all are equally long.
        late = itertools.takewhile(lambda item: item[1] <= self._now, self._ending.items())
        for connection, _ in tuple(late):
            connection.abort()

    def _check(self, connection: Connection) -> None:
        if connection.heard or connection.is_excused:
            connection.heard = False
            connection.ping()
        else:
            connection.give_up_silent()


def _prepare(sock: socket.socket) -> None:
    """Make a socket wait for nothing, and hold little back."""
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # a system that only looks like Linux
                sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT)


def _turns(seconds: float) -> int:
    return max(1, round(seconds / TICK))
