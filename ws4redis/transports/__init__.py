"""Takes the socket of a request out of the hands of whatever server received it."""

from __future__ import annotations

import functools
import importlib
import socket
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ws4redis.exceptions import TransportError

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
StartResponse = Callable[..., Any]
WSGIApplication = Callable[[Environ, StartResponse], Iterable[bytes]]


class Server(Protocol):
    """What the loop has to know of the server in whose process it lives."""

    own_thread: bool
    """Whether the loop needs a thread of its own in this process: the server has no hub."""
    mercy: float
    """Seconds that the server leaves to a process that is to end, before it kills it."""


class Transport(Server, Protocol):
    """One request whose socket can be taken over."""

    def take(self, status: str, headers: Headers) -> tuple[socket.socket, bytes]:
        """Begin an answer, end the server's interest in the request, and hand over its socket.

        Args:
            status: The status of the answer; what follows is up to who gets the socket.
            headers: Its headers. One that is no upgrade ends with the connection, and says so.

        Returns:
            The socket, in any blocking mode, and what the client sent after its request.

        Raises:
            OSError: The client is gone.
            TransportError: The socket can't be taken.
        """


GIVEN = "ws4redis.transport"
"""Where whoever makes a request without a server puts its transport."""
_MODULES = ("uwsgi", "gunicorn", "pywsgi", "wsgiref")


def find(environ: Environ, start_response: StartResponse) -> Transport:
    """Return the transport for the server that received a request.

    Raises:
        TransportError: There is none for this server.
    """
    if GIVEN in environ:
        return environ[GIVEN]  # type: ignore[no-any-return]
    for module in _modules():
        transport: Transport | None = module.recognise(environ, start_response)
        if transport is not None:
            return transport
    software = environ.get("SERVER_SOFTWARE", "unknown")
    raise TransportError(
        f"Websockets are not possible under the server {software!r}. "
        "Use 'manage.py ws4redis serve', 'manage.py runserver', uWSGI or gunicorn."
    )


@functools.cache
def _modules() -> tuple[Any, ...]:
    """Return the modules of all transports; imported late, as they import this one."""
    return tuple(importlib.import_module(f"ws4redis.transports.{name}") for name in _MODULES)
