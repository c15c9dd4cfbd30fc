"""uWSGI, with ``--gevent`` or with ``--enable-threads``.

Its own websocket API is not used: it keeps one buffer per process for the fragments of all clients
(unbit/uwsgi #2225), and needs the connection's own greenlet.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent.hub
import gevent.monkey

from ws4redis.exceptions import TransportError
from ws4redis.transports import Environ, Headers, StartResponse
from ws4redis.transports.swap import closed_on_error, duplicate

logger = logging.getLogger(__name__)

DEFAULT_MERCY = 60
"""Seconds that uWSGI leaves to its workers unless an option says otherwise."""
_MERCIES = ("reload-mercy", "worker-reload-mercy")


class UwsgiTransport:
    """A request in the hands of uWSGI."""

    def __init__(self, uwsgi: Any, start_response: StartResponse) -> None:
        self._uwsgi = uwsgi
        self._start_response = start_response
        self.own_thread = not _option(uwsgi, "gevent")
        self.mercy = min(float(_option(uwsgi, name) or DEFAULT_MERCY) for name in _MERCIES)

    def take(self, status: str, headers: Headers) -> tuple[socket.socket, bytes]:
        """See ``Transport.take``; what came before the answer stays in uWSGI's parser."""
        descriptor = self._uwsgi.connection_fd()
        taken = duplicate(descriptor)
        if not self.own_thread:
            _unregister(descriptor)
        with closed_on_error(taken):
            # Only uWSGI itself may send the answer: after own bytes it would log a 500.
            write = self._start_response(status, headers)
            write(b"")
        return taken, b""


def recognise(environ: Environ, start_response: StartResponse) -> UwsgiTransport | None:
    """Return the transport if this server received the request."""
    if "uwsgi.version" not in environ:
        return None
    return UwsgiTransport(_module(), start_response)


def check_options() -> None:
    """See, while the application is loaded, that this uWSGI can hold websockets.

    Raises:
        TransportError: It runs with an option that forbids them, or without one that they need.
    """
    if (uwsgi := _module()) is None:
        return
    if _option(uwsgi, "https-socket"):
        raise TransportError(
            "uWSGI has --https-socket, and a websocket can't be taken out of its TLS. Let TLS end "
            "in a web server in front of it, such as nginx, or in uWSGI's router: --https."
        )
    if not any(_option(uwsgi, name) for name in ("gevent", "enable-threads", "threads")):
        raise TransportError(
            "uWSGI runs without threads: start it with --gevent 100, or with --enable-threads."
        )
    if _forgets_virtualenv() and not _option(uwsgi, "binary-path"):
        logger.warning(
            "A reload will end this uWSGI: the pyuwsgi wheel then starts the python outside of the "
            "virtualenv. Start it with --binary-path %s/bin/python.",
            sys.prefix,
        )


def at_exit(callback: Callable[[], object]) -> bool:
    """Call back when this process ends, and return True; return False outside of uWSGI.

    uWSGI ends its workers without Python's own ``atexit``. The hub still runs inside of its. What
    the site has put there runs afterwards.
    """
    if (uwsgi := _module()) is None:
        return False
    before = getattr(uwsgi, "atexit", None)

    def both() -> None:
        callback()
        if before is not None:
            before()

    uwsgi.atexit = both
    return True


def _module() -> Any:
    """Return the module that exists only inside of a uWSGI process; None elsewhere."""
    try:
        import uwsgi
    except ImportError:
        return None
    return uwsgi


def _forgets_virtualenv() -> bool:
    """Whether uWSGI came as the pyuwsgi wheel, whose process is a python, in a virtualenv."""
    is_python = Path("/proc/self/exe").resolve().name.startswith("python")
    return is_python and sys.prefix != sys.base_prefix


def _option(uwsgi: Any, name: str) -> Any:
    """Return the value of an option of uWSGI: True if it takes none, None if it is not given."""
    return uwsgi.opt.get(name) or uwsgi.opt.get(name.encode())


# gevent removes it from a patched process.
_epoll = gevent.monkey.get_original("select", "epoll")


@functools.cache
def _hub_epoll(descriptor: int) -> Any:
    # Kept for good: closing it would close the hub's own descriptor.
    return _epoll.fromfd(descriptor)


def _unregister(descriptor: int) -> None:
    """Make the hub forget uWSGI's descriptor.

    The duplicate keeps the file open, so the kernel would not drop it from the hub's epoll set, and
    libev, which meets a closed descriptor there, would rebuild the whole set for each websocket.
    """
    # It is not registered if all bytes of the request were there at once.
    with contextlib.suppress(FileNotFoundError):
        _hub_epoll(gevent.hub.get_hub().loop.fileno()).unregister(descriptor)
        pass
