"""Django's development server (``runserver``), which gives each request a thread."""

from __future__ import annotations

import socket
from typing import Any
from wsgiref.simple_server import ServerHandler

from ws4redis.transports import Environ, Headers, StartResponse
from ws4redis.transports.swap import closed_on_error, swap
from ws4redis.wire.handshake import response_bytes


class WsgirefTransport:
    """A request in the hands of ``wsgiref``."""

    own_thread = True
    # Whoever develops waits for the reload.
    mercy = 0.5

    def __init__(self, handler: ServerHandler, start_response: StartResponse) -> None:
        self._handler: Any = handler
        self._start_response = start_response

    def take(self, status: str, headers: Headers) -> tuple[socket.socket, bytes]:
        """See ``Transport.take``."""
        request = self._handler.request_handler
        # Otherwise a look at an empty buffer would wait for the client.
        request.connection.setblocking(False)
        early = request.rfile.peek()
        taken = swap(request.connection.fileno())
        taken.settimeout(None)
        with closed_on_error(taken):
            taken.sendall(response_bytes(status, headers))
        # wsgiref refuses Upgrade and Connection here, and only has to log the status.
        self._start_response(status, [])
        self._handler.headers_sent = True
        request.close_connection = True
        return taken, early


def recognise(environ: Environ, start_response: StartResponse) -> WsgirefTransport | None:
    """Return the transport if this server received the request."""
    handler = getattr(start_response, "__self__", None)
    if isinstance(handler, ServerHandler) and hasattr(handler, "request_handler"):
        return WsgirefTransport(handler, start_response)
    return None
