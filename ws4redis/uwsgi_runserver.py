"""The documented entry point for a websocket loop under uWSGI."""

from __future__ import annotations

from collections.abc import Iterable

import django

from ws4redis.transports import Environ, StartResponse
from ws4redis.wsgi import get_websocket_application

__all__ = ["uWSGIWebSocketServer", "uWSGIWebsocketServer"]


class uWSGIWebSocketServer:
    """A WSGI application that serves websockets below ``WEBSOCKET_URL``."""

    def __init__(self) -> None:
        django.setup(set_prefix=False)
        self._application = get_websocket_application()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return self._application(environ, start_response)


class uWSGIWebsocketServer(uWSGIWebSocketServer):
    """The same under the name that the code of django-websocket-redis had."""
