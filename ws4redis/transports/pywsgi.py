"""gevent's WSGI server, which ``manage.py ws4redis serve`` runs."""

from __future__ import annotations

import math
import socket
from typing import Any

from gevent.pywsgi import WSGIHandler

from ws4redis.transports import Environ, Headers, StartResponse
from ws4redis.transports.swap import plain_socket
from ws4redis.wire.handshake import response_bytes


class PywsgiTransport:
    """A request in the hands of ``gevent.pywsgi``."""

    own_thread = False
    mercy = math.inf

    def __init__(self, handler: WSGIHandler, start_response: StartResponse) -> None:
        self._handler: Any = handler
        self._start_response = start_response

    def take(self, status: str, headers: Headers) -> tuple[socket.socket, bytes]:
        """See ``Transport.take``."""
        handler = self._handler
        handler.socket.sendall(response_bytes(status, headers))
        # Otherwise a look at an empty buffer would wait for the client.
        handler.socket.setblocking(False)
        early = handler.rfile.peek()
        self._start_response(status, [])
        handler.headers_sent = True
        handler.close_connection = True
        taken = plain_socket(fileno=handler.socket.detach())
        handler.socket = None
        return taken, early


def recognise(environ: Environ, start_response: StartResponse) -> PywsgiTransport | None:
    """Return the transport if this server received the request."""
    handler = getattr(start_response, "__self__", None)
    return PywsgiTransport(handler, start_response) if isinstance(handler, WSGIHandler) else None
