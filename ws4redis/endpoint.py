"""One websocket request on a facility, from its handshake to an open connection or a refusal.

Everything that can refuse does so before the upgrade, as an HTTP answer.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any
from wsgiref.util import is_hop_by_hop

from django.db import close_old_connections

from ws4redis import access, flood
from ws4redis.conf import Settings, load_callable
from ws4redis.exceptions import BusError, HandshakeError, TransportError
from ws4redis.hooks import HookedWebsocket, HookPublisher, OwnSource, has_own_source, overrides
from ws4redis.loop.facility import Facility, Membership
from ws4redis.loop.runner import Runner
from ws4redis.proxies import client_address
from ws4redis.subscriber import RedisSubscriber, SharedPubSub
from ws4redis.transports import Environ, Headers, StartResponse, Transport, find
from ws4redis.wire import handshake as wire

logger = flood.clients.guard(logging.getLogger(__name__))

_HISTORY = ("send_persisted_messages", "send_persited_messages")
OPENED = "Opened '%(path)s' for %(client)s"
REFUSED = "Refused '%(path)s' for %(client)s with %(status)d: %(reason)s"
REASON_SHOWN = 500
"""Characters of a reason in the log; some name the way out."""

REFUSED_HEADER = "X-WS4Redis-Refused"
"""On an open websocket: the channels it asked for and did not get. On a refusal: ``handshake``,
which tells the loop's own answer from that of a proxy or of Django."""


class LoopClient:
    """A Redis client whose ``pubsub()`` is followed on the loop's link."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def pubsub(self, **_: Any) -> SharedPubSub:
        """Return an object that collects the channels to follow."""
        return SharedPubSub()


@dataclass(frozen=True, slots=True)
class _Opening:
    """A handshake that may be accepted."""

    environ: Environ
    settings: Settings
    handshake: wire.Handshake
    transport: Transport
    runner: Runner


@dataclass(frozen=True, slots=True)
class _Ready:
    """A handshake that was accepted."""

    facility: Facility
    source: OwnSource | None
    sock: socket.socket
    early: bytes


class Endpoint:
    """The WSGI application that opens websockets.

    Args:
        settings: Returns the settings of ws4redis.
        client: Returns a Redis client.
        runner: Returns the loop of this process, given what takes the sockets out of its server.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        client: Callable[[], Any],
        runner: Callable[[Transport], Runner],
    ) -> None:
        self._settings = settings
        self._client = client
        self._runner = runner

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request = {"path": flood.escaped(environ.get("PATH_INFO", "")), "client": "unknown"}
        try:
            settings = self._settings()
            request["client"] = _client(environ, settings)
            self._open(environ, start_response, settings, request["client"])
        except Exception as error:
            # Without a name: this frame, which the failure knows, must not know it.
            return _refuse(start_response, _logged(_refusal(error), request))
        logger.info(OPENED, request, extra=request)
        return []

    def _open(
        self, environ: Environ, start_response: StartResponse, settings: Settings, client: str
    ) -> None:
        _check_address(environ, settings)
        handshake = wire.check(wire.Request.from_environ(environ))
        transport = find(environ, start_response)
        runner = self._runner(transport)
        if runner.is_draining:
            raise HandshakeError(503, "This process is about to end.", (("Retry-After", "1"),))
        runner.call(runner.enter, client)
        try:
            ready = self._shake_hands(_Opening(environ, settings, handshake, transport, runner))
        except BaseException:
            runner.call(runner.leave, client)
            raise
        runner.call(runner.adopt, ready.sock, ready.facility, ready.early, client)
        if ready.source is not None:
            ready.source.start()

    def _shake_hands(self, opening: _Opening) -> _Ready:
        """Do all that can refuse, and send the answer at last."""
        settings, runner = opening.settings, opening.runner
        subscriber = self._make_subscriber(settings)
        authorize = partial(access.authorize, opening.environ, settings, subscriber)
        grant = runner.offload(_framed, authorize)
        headers = wire.response_headers(
            opening.handshake,
            wire.select_subprotocol(opening.handshake.subprotocols, settings.subprotocols),
            _refused_header(grant),
        )
        facility = _join(runner, grant)
        try:
            source = _prepare(runner, facility, subscriber)
            sock, early = _take(opening.transport, headers)
        except BaseException:
            runner.call(facility.leave)
            raise
        return _Ready(facility, source, sock, early)

    def _make_subscriber(self, settings: Settings) -> RedisSubscriber:
        own: type[RedisSubscriber] = load_callable(settings.subscriber)
        client = self._client()
        return own(client if has_own_source(own) else LoopClient(client))


def _client(environ: Environ, settings: Settings) -> str:
    return client_address(environ, settings.trusted_proxies, settings.forwarded_header)


def _check_address(environ: Environ, settings: Settings) -> None:
    path = environ.get("PATH_INFO", "")
    if not path.startswith(settings.websocket_url) or path == settings.websocket_url:
        raise HandshakeError(404, f"Websockets are at {settings.websocket_url}<facility>.")


def _join(runner: Runner, grant: access.Grant) -> Facility:
    """Join the granted channels; a site's own subscriber may take the client's messages."""
    subscriber = grant.subscriber
    own = type(subscriber)
    publisher = None
    if overrides(own, "publish_message", "release"):
        publishes = overrides(own, "publish_message")
        publisher = HookPublisher(subscriber, runner, _framed, publishes=publishes)
    persisted = not overrides(own, *_HISTORY)
    return runner.call(runner.prepare, _membership(grant), publisher, persisted)


def _prepare(runner: Runner, facility: Facility, subscriber: RedisSubscriber) -> OwnSource | None:
    """Let a site's own subscriber say what comes first, and what it reads by itself."""
    own = type(subscriber)
    if overrides(own, *_HISTORY) or has_own_source(own):
        websocket = HookedWebsocket(facility, runner)
        runner.offload(_framed, partial(subscriber.send_persited_messages, websocket))
    return OwnSource(subscriber, facility, runner) if has_own_source(own) else None


def _membership(grant: access.Grant) -> Membership:
    subscriber: RedisSubscriber = grant.subscriber
    followed = () if has_own_source(type(subscriber)) else subscriber.subscriptions
    return Membership(
        subscriptions=tuple(name.encode() for name in followed),
        publications=tuple(name.encode() for name in subscriber.publications),
        echo="echo" in grant.flags,
        binary="binary" in grant.flags,
    )


def _take(transport: Transport, headers: Headers) -> tuple[socket.socket, bytes]:
    try:
        return transport.take(headers)
    except OSError as error:
        raise HandshakeError(400, "The client went away.") from error


def _framed(function: Callable[[], Any]) -> Any:
    """Call a function with the care for the database that Django takes around a request."""
    close_old_connections()
    try:
        return function()
    finally:
        close_old_connections()


def _refused_header(grant: access.Grant) -> list[tuple[str, str]]:
    if not grant.refused:
        return []
    reasons = ", ".join(f"{name} ({reason})" for name, reason in grant.refused.items())
    return [(REFUSED_HEADER, reasons)]


def _refusal(error: Exception) -> HandshakeError:
    """Return the HTTP answer for whatever went wrong; no foreign text gets into it."""
    if isinstance(error, HandshakeError):
        return error
    if isinstance(error, BusError):
        return HandshakeError(503, "Try again later.", (("Retry-After", "2"),), str(error))
    if isinstance(error, TransportError):
        return HandshakeError(500, "Websockets are not possible here.", detail=str(error))
    internal = HandshakeError(500, "Internal error.")
    internal.__cause__ = error
    return internal


def _logged(refusal: HandshakeError, request: dict[str, Any]) -> HandshakeError:
    """Write one line and return the refusal; for what nobody expected, with its traceback."""
    is_fault = refusal.status == 500
    reason = flood.escaped(f"{refusal.message} {refusal.detail}".rstrip(), REASON_SHOWN)
    details = request | {"status": refusal.status, "reason": reason}
    level = logging.ERROR if is_fault else logging.WARNING
    logger.log(
        level, REFUSED, details, extra=details, exc_info=refusal.__cause__ if is_fault else None
    )
    return refusal


def _refuse(start_response: StartResponse, refusal: HandshakeError) -> Iterable[bytes]:
    # PEP 3333 leaves hop-by-hop headers, such as Upgrade, to the server.
    extra = [header for header in refusal.headers if not is_hop_by_hop(header[0])]
    marked = [(REFUSED_HEADER, "handshake"), *extra]
    return answer(start_response, refusal.status, refusal.message, marked)


def answer(
    start_response: StartResponse, status: int, text: str, extra: Sequence[tuple[str, str]] = ()
) -> Iterable[bytes]:
    """Answer a request with a line of text that nobody keeps.

    Args:
        start_response: See PEP 3333.
        status: The HTTP status code.
        text: The line, without its end.
        extra: Further headers.
    """
    body = f"{text}\n".encode()
    start_response(
        f"{status} {HTTPStatus(status).phrase}",
        [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            *extra,
        ],
    )
    return [body]
