"""``manage.py ws4redis serve``: the websocket loop in a process of its own."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

import gevent
from django.core.management.base import BaseCommand, CommandError, CommandParser
from gevent.pywsgi import WSGIServer

from ws4redis.wsgi import get_runner, get_websocket_application

BACKLOG = 4096
"""Handshakes that may wait for the loop; after a restart all clients come at once."""


class Command(BaseCommand):
    """Commands of ws4redis."""

    help = "Serve websockets."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        subcommands = parser.add_subparsers(dest="subcommand", required=True)
        serve = subcommands.add_parser("serve", help="Hold websockets until SIGTERM or Ctrl-C.")
        serve.add_argument(
            "--bind",
            default="127.0.0.1:8001",
            metavar="HOST:PORT|unix:PATH",
            help="Where to listen; default %(default)s.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run a subcommand."""
        self._serve(options["bind"])

    def _serve(self, bind: str) -> None:
        listener = open_listener(bind)
        server = WSGIServer(listener, get_websocket_application(), log=None)
        runner = get_runner(own_thread=False)
        stop = gevent.event.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, stop.set)
        server.start()
        self.stdout.write(f"Websockets are served at {bind}; stop with Ctrl-C.")
        self.stdout.flush()
        stop.wait()
        server.stop(timeout=1)
        runner.stop()
        if bind.startswith("unix:"):
            Path(bind.removeprefix("unix:")).unlink(missing_ok=True)


def open_listener(bind: str) -> socket.socket:
    """Return a listening socket.

    Args:
        bind: ``HOST:PORT``, ``[IPV6]:PORT`` or ``unix:PATH``.

    Raises:
        CommandError: The address is malformed or taken.
    """
    try:
        if bind.startswith("unix:"):
            return _listen(socket.AF_UNIX, bind.removeprefix("unix:"))
        host, _, port = bind.rpartition(":")
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        return _listen(family, (host.strip("[]"), int(port)))
    except (OSError, OverflowError, ValueError) as error:
        raise CommandError(f"Can't listen at {bind!r}: {error}") from error


def _listen(family: socket.AddressFamily, address: Any) -> socket.socket:
    from gevent import socket as gevent_socket

    listener = gevent_socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_UNIX:
        _remove_stale(address)
    listener.bind(address)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener  # type: ignore[no-any-return]


def _remove_stale(path: str) -> None:
    """Remove the socket file that a killed server left behind, unless one still listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
        else:
            raise OSError("another server listens there")
