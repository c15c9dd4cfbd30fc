"""One process that holds websockets, until a signal or the end of its supervisor."""

from __future__ import annotations

import math
import signal
import socket
from collections.abc import Sequence

import gevent
import gevent.event
import gevent.signal
from gevent import socket as gevent_socket
from gevent.pywsgi import WSGIServer

from ws4redis.serve.health import with_health
from ws4redis.wire.close import CloseCode
from ws4redis.wsgi import get_runner, get_websocket_application

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Host:
    """What the loop has to know of this process."""

    own_thread = False
    mercy = math.inf


class Worker:
    """Serves websockets in this process.

    Args:
        listeners: Where. They stay open if a new process is to follow, else they are closed first.
    """

    def __init__(self, listeners: Sequence[socket.socket]) -> None:
        self._runner = get_runner(Host())
        application = with_health(get_websocket_application(), self._runner)
        self._listeners = listeners
        # As many processes may share a listener, each accepts only one connection at a time.
        self._servers = [
            WSGIServer(
                _green(one.dup()), application, log=None, environ={"wsgi.multiprocess": True}
            )
            for one in listeners
        ]
        self._signal: gevent.event.AsyncResult = gevent.event.AsyncResult()

    def start(self) -> None:
        """Begin to accept, and to listen to signals."""
        for number in SIGNALS:
            gevent.signal_handler(number, self._signal.set, number)
        # The supervisor holds them back until somebody listens.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        for server in self._servers:
            server.start()

    def follow(self, lifeline: socket.socket) -> None:
        """Tell the supervisor that this process serves, and stop when the supervisor is gone."""
        try:
            lifeline.send(b"1")
        except BrokenPipeError:
            self._signal.set(signal.SIGTERM)
            return
        green = _green(lifeline)
        green.setblocking(True)
        gevent.spawn(self._wait_for_end, green)

    def wait(self) -> bool:
        """Serve until a signal comes; return whether a new process is to follow (SIGHUP)."""
        return bool(self._signal.get() == signal.SIGHUP)

    def stop(self, *, has_successor: bool) -> None:
        """Accept nothing any more, and close all websockets.

        Args:
            has_successor: Whether a new process follows: clients are told to come back (1012), not
                that the server goes away (1001).
        """
        for server in self._servers:
            server.close()
        if has_successor:
            self._runner.stop(CloseCode.SERVICE_RESTART)
            return
        for listener in self._listeners:
            listener.close()
        self._runner.stop(CloseCode.GOING_AWAY)

    def _wait_for_end(self, lifeline: gevent_socket.socket) -> None:
        lifeline.recv(1)
        self._signal.set(signal.SIGTERM)


def _green(sock: socket.socket) -> gevent_socket.socket:
    return gevent_socket.socket(sock.family, sock.type, sock.proto, sock.detach())
