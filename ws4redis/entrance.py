"""The way to a websocket, or a stream of events, that facilities and views share."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from dataclasses import dataclass
from sys import intern

from ws4redis.conf import Settings
from ws4redis.exceptions import HandshakeError
from ws4redis.loop.admission import Place
from ws4redis.loop.runner import Runner
from ws4redis.transports import Environ, Headers, StartResponse, Transport, find
from ws4redis.wire import handshake as wire
from ws4redis.wire.deflate import Agreement, agree

FindRunner = Callable[[Transport], Runner]
"""Returns the loop of this process, given what takes the sockets out of its server."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A handshake that may be accepted."""

    environ: Environ
    settings: Settings
    handshake: wire.Handshake | None
    """None for a stream of events."""
    transport: Transport
    runner: Runner
    place: Place


def approach(
    environ: Environ, start_response: StartResponse, runner: FindRunner
) -> tuple[Transport, Runner]:
    """Return what takes the socket of a request out of its server, and the loop that gets it.

    Raises:
        HandshakeError: The loop takes no more.
        TransportError: The server can't hold websockets.
    """
    transport = find(environ, start_response)
    found = runner(transport)
    if found.is_draining:
        raise HandshakeError(503, "This process is about to end.", (("Retry-After", "1"),))
    return transport, found


def take(transport: Transport, status: str, headers: Headers) -> tuple[socket.socket, bytes]:
    """Accept a handshake; return its socket, and what the client has sent already."""
    try:
        return transport.take(status, headers)
    except OSError as error:
        raise HandshakeError(400, "The client went away.") from error


def kept(environ: Environ) -> Environ:
    """Return what of a request says who comes, without its body.

    Only texts do so: objects may hold the socket of a server, and a websocket lasts.
    """
    # Most are the same for all clients: under uWSGI, sharing them saves nearly 2 KiB for each.
    texts = {
        intern(name): intern(str(value))
        for name, value in environ.items()
        if isinstance(value, str)
    }
    return {**texts, "wsgi.input": io.BytesIO(), "CONTENT_LENGTH": "", "CONTENT_TYPE": ""}


def compression(handshake: wire.Handshake, settings: Settings) -> Agreement | None:
    """Return what is agreed with the client about compression; None for none."""
    if settings.compression_threshold is None:
        return None
    return agree(handshake.extensions, settings.compression_threshold)


def extension_header(agreement: Agreement | None) -> list[tuple[str, str]]:
    """Return the header that tells the client what is agreed."""
    return [("Sec-WebSocket-Extensions", agreement.header)] if agreement is not None else []
