"""``manage.py runserver`` with websockets."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.servers.basehttp import WSGIRequestHandler, WSGIServer

from ws4redis.tokens.handed import hidden
from ws4redis.wsgi import get_application

if apps.is_installed("django.contrib.staticfiles"):
    from django.contrib.staticfiles.management.commands.runserver import Command as Runserver
else:
    from django.core.management.commands.runserver import (  # type: ignore[assignment]
        Command as Runserver,
    )


class RequestHandler(WSGIRequestHandler):
    """Django's handler, which does not write tokens into the log."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as it is there
        """Log one line of a request."""
        shown = (hidden(one) if isinstance(one, str) else one for one in args)
        super().log_message(format, *shown)


class Server(WSGIServer):
    """Django's server with room for all the pages that reconnect after a reload."""

    request_queue_size = 1024

    def __init__(self, address: Any, handler: Any, *args: Any, **options: Any) -> None:
        super().__init__(address, RequestHandler, *args, **options)


class Command(Runserver):
    """Django's development server, which also holds websockets."""

    server_cls = Server

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """Return the application of the development server, with websockets in front of it."""
        return get_application(super().get_handler(*args, **options))
