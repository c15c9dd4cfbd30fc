"""gunicorn, with its gevent, gthread and sync workers."""

from __future__ import annotations

import socket
import ssl
import sys
from typing import Any

import gevent.socket

from ws4redis.exceptions import TransportError
from ws4redis.transports import Environ, Headers, StartResponse
from ws4redis.transports.swap import plain_socket, swap
from ws4redis.wire.handshake import response_bytes


class GunicornTransport:
    """A request in the hands of gunicorn."""

    def __init__(self, response: Any, start_response: StartResponse) -> None:
        self._response = response
        self._start_response = start_response
        # Only the gevent worker has a hub, and only its sockets are gevent's.
        self.own_thread = not isinstance(response.sock, gevent.socket.socket)
        self.mercy = _mercy(response.cfg)

    def take(self, status: str, headers: Headers) -> tuple[socket.socket, bytes]:
        """See ``Transport.take``."""
        response = self._response
        early: bytes = response.req.unreader.buf.getvalue()
        response.sock.sendall(response_bytes(status, headers))
        # gunicorn has to log the status only.
        self._start_response(status, [])
        response.headers_sent = True
        response.must_close = True
        response.chunked = False
        return self._take_socket(), early

    def _take_socket(self) -> socket.socket:
        sock = self._response.sock
        if self.own_thread:
            return swap(sock.fileno())
        return plain_socket(fileno=sock.detach())


def recognise(environ: Environ, start_response: StartResponse) -> GunicornTransport | None:
    """Return the transport if this server received the request.

    Raises:
        TransportError: TLS ends inside of gunicorn, or a worker of another class runs.
    """
    response = getattr(start_response, "__self__", None)
    if "gunicorn.socket" not in environ or not hasattr(response, "sock"):
        return None
    sock = environ["gunicorn.socket"]
    if isinstance(sock, ssl.SSLSocket):
        raise TransportError(
            "gunicorn has --certfile, and a websocket can't be taken out of its TLS. Let TLS end "
            "in a web server in front of it, such as nginx."
        )
    if not isinstance(sock, (plain_socket, gevent.socket.socket)):
        raise TransportError(
            f"gunicorn's worker has sockets of {type(sock).__module__}, which can't be taken over. "
            "Use the worker class gevent, gthread or sync."
        )
    return GunicornTransport(response, start_response)


def _mercy(config: Any) -> float:
    """Seconds after which the arbiter kills a worker that is to end, or that fell silent."""
    return float(min(config.graceful_timeout, config.timeout or sys.maxsize))
