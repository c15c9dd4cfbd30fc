"""A bare echo on the engine of every websocket, for conformance suites and benchmarks."""

from __future__ import annotations

from ws4redis.conf import Settings, get_settings
from ws4redis.endpoint import Endpoint
from ws4redis.entrance import compression, extension_header
from ws4redis.loop.connection import Connection
from ws4redis.redis_client import get_client
from ws4redis.transports import Environ, StartResponse, WSGIApplication, find
from ws4redis.wire import handshake as wire
from ws4redis.wire.deflate import Agreement
from ws4redis.wire.outgoing import Outgoing, get_encoding
from ws4redis.wsgi import get_runner, metrics


class Echo:
    """Sends each message back as it came: text as text, binary as binary."""

    def __init__(self, agreement: Agreement | None) -> None:
        self._connection: Connection | None = None
        self._deflate = agreement and agreement.deflate

    def on_open(self, connection: Connection) -> None:
        """See ``Handler.on_open``."""
        self._connection = connection

    def on_message(self, payload: bytes, binary: bool) -> None:
        """See ``Handler.on_message``."""
        if self._connection is not None:
            self._connection.send(Outgoing(payload).frame(get_encoding(binary, self._deflate)))

    def farewell(self, code: int, reason: str) -> bytes:
        """Say nothing."""
        return b""

    def on_close(self, code: int, reason: str) -> None:
        """See ``Handler.on_close``."""
        self._connection = None


class EchoEndpoint(Endpoint):
    """The WSGI application that opens echoes at any address, for anybody."""

    def _open(
        self, environ: Environ, start_response: StartResponse, settings: Settings, client: str
    ) -> bool:
        handshake = wire.check(wire.Request.from_environ(environ))
        transport = find(environ, start_response)
        runner = self._runner(transport)
        agreement = compression(handshake, settings)
        headers = wire.response_headers(handshake, extra=extension_header(agreement))
        sock, early = transport.take(wire.SWITCHING, headers)
        runner.call(runner.adopt, sock, Echo(agreement), early, None, agreement is not None)
        return True


def get_echo_application() -> WSGIApplication:
    """Return the application that echoes."""
    return EchoEndpoint(get_settings, get_client, get_runner, metrics)
