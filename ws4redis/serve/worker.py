"""One process that holds websockets, until a signal or the end of its supervisor."""

from __future__ import annotations

import contextlib
import math
import signal
import socket
from functools import partial

import gevent
import gevent.event
from gevent import socket as gevent_socket
from gevent.pool import Pool
from gevent.pywsgi import WSGIServer

from ws4redis.conf import get_settings
from ws4redis.serve.health import with_health
from ws4redis.serve.listener import Places
from ws4redis.serve.request import Handler
from ws4redis.transports import WSGIApplication
from ws4redis.wire.close import CloseCode
from ws4redis.wsgi import get_runner, get_websocket_application

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SERVES, LINKED = b"s", b"l"
"""What a process says on its lifeline: it accepts, and later, it has its link to Redis."""
LAST_REQUESTS = 1.0
"""Seconds that handshakes have to end which had begun before the stop."""


class Host:
    """What the loop has to know of this process."""

    own_thread = False
    mercy = math.inf


class Worker:
    """Serves websockets in this process.

    Args:
        places: Where. They stay open if a new process is to follow, else they are closed first.
    """

    def __init__(self, places: Places) -> None:
        self.must_stop = False
        """Whether the process was told to stop, perhaps during a reload."""
        self._runner = get_runner(Host())
        self._places = places
        self._requests = Pool()
        application = with_health(get_websocket_application(), self._runner)
        self._servers = [self._server(listener, application) for listener in places.listeners]
        self._signal: gevent.event.AsyncResult = gevent.event.AsyncResult()

    def start(self) -> None:
        """Begin to accept, and to listen to signals."""
        for number in SIGNALS:
            gevent.signal_handler(number, self._on_signal, number)
        # A process that takes the place of another holds them back until somebody listens.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        for server in self._servers:
            server.start()

    def follow(self, lifeline: socket.socket) -> None:
        """Tell the supervisor that this process serves, and stop when the supervisor is gone."""
        gevent.spawn(self._hold_on_to, _green(lifeline))

    def wait(self) -> bool:
        """Serve until a signal comes; return whether a new process is to follow (SIGHUP)."""
        number = self._signal.get()
        self._signal = gevent.event.AsyncResult()
        return bool(number == signal.SIGHUP)

    def stop(self, *, has_successor: bool) -> None:
        """Accept nothing any more, and close all websockets.

        Args:
            has_successor: Whether a new process follows: clients are told to come back (1012), not
                that the server goes away (1001).
        """
        for server in self._servers:
            server.close()
        if not has_successor:
            self._places.close()
        self._runner.stop(CloseCode.SERVICE_RESTART if has_successor else CloseCode.GOING_AWAY)
        self._requests.join(timeout=LAST_REQUESTS)

    def _server(self, listener: socket.socket, application: WSGIApplication) -> WSGIServer:
        # As many processes may share a listener, each accepts only one connection at a time.
        environ = {"wsgi.multiprocess": True}
        green = _green(listener.dup())
        return WSGIServer(
            green,
            application,
            log=None,
            environ=environ,
            spawn=self._requests,
            handler_class=partial(Handler, get_settings().handshake_timeout),
        )

    def _on_signal(self, number: int) -> None:
        self.must_stop = self.must_stop or number != signal.SIGHUP
        if not self._signal.ready():
            self._signal.set(number)

    def _hold_on_to(self, lifeline: gevent_socket.socket) -> None:
        lifeline.setblocking(True)
        with contextlib.suppress(ConnectionError):
            lifeline.send(SERVES)
            gevent.spawn(self._tell_of_link, lifeline)
            lifeline.recv(1)
        self._on_signal(signal.SIGTERM)

    def _tell_of_link(self, lifeline: gevent_socket.socket) -> None:
        self._runner.bus.wait_connected(None)
        with contextlib.suppress(ConnectionError):
            lifeline.send(LINKED)


def _green(sock: socket.socket) -> gevent_socket.socket:
    return gevent_socket.socket(sock.family, sock.type, sock.proto, sock.detach())
