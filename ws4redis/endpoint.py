"""One request on a facility: for a websocket, for a stream of events, or to publish a message.

Everything that can refuse does so before the upgrade, as an HTTP answer.
"""

from __future__ import annotations

import io
import logging
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlencode
from wsgiref.util import is_hop_by_hop

from django.db import close_old_connections

from ws4redis import access, flood
from ws4redis.answers import OPENED, REFUSED_HEADER, logged, refusal, refuse
from ws4redis.conf import Settings, load_callable
from ws4redis.entrance import (
    FindRunner,
    Opening,
    approach,
    compression,
    extension_header,
    kept,
    take,
)
from ws4redis.exceptions import HandshakeError, HookTimeout
from ws4redis.hooks import HookedWebsocket, HookPublisher, OwnSource, has_own_source, overrides
from ws4redis.loop.admission import Place
from ws4redis.loop.connection import Handler
from ws4redis.loop.facility import Facility, Membership
from ws4redis.loop.multiplex import UNPUBLISHED, Multiplex
from ws4redis.loop.runner import Runner
from ws4redis.metrics import Metrics
from ws4redis.posting import read_body
from ws4redis.proxies import client_address
from ws4redis.redis_store import RedisMessage
from ws4redis.subscriber import RedisSubscriber, SharedPubSub
from ws4redis.transports import Environ, Headers, StartResponse
from ws4redis.wire import handshake as wire
from ws4redis.wire import sse, v1
from ws4redis.wire.deflate import Agreement
from ws4redis.wire.outgoing import Form, get_encoding

logger = flood.clients.guard(logging.getLogger(__name__))

_HISTORY = ("send_persisted_messages", "send_persited_messages")
OK, NO_CONTENT = "200 OK", "204 No Content"
# PEP 3333 leaves hop-by-hop headers, such as Upgrade, to the server.
_STREAM_HEADERS = [header for header in sse.HEADERS if not is_hop_by_hop(header[0])]


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
class _Visitor:
    """Who may subscribe further facilities over an open websocket."""

    environ: Environ
    """Of its handshake, as far as it says who comes."""
    place: Place
    settings: Settings
    runner: Runner
    terms: _Terms


@dataclass(frozen=True, slots=True)
class _Terms:
    """How a request is accepted, and how its messages are to come."""

    status: str
    headers: Headers
    form: Form
    agreement: Agreement | None = None


@dataclass(frozen=True, slots=True)
class _Ready:
    """A handshake that was accepted."""

    terms: _Terms
    facility: Facility
    handler: Handler
    source: OwnSource | None
    sock: socket.socket
    early: bytes


class Endpoint:
    """The WSGI application that opens websockets and streams of events.

    Args:
        settings: Returns the settings of ws4redis.
        client: Returns a Redis client.
        runner: Returns the loop of this process, given what takes the sockets out of its server.
        metrics: Where refusals are counted.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        client: Callable[[], Any],
        runner: FindRunner,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._client = client
        self._runner = runner
        self._metrics = metrics

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request = {"path": flood.to_quote(environ.get("PATH_INFO", "")), "client": "unknown"}
        try:
            settings = self._settings()
            request["client"] = _client(environ, settings)
            if environ.get("REQUEST_METHOD") == "POST":
                self._publish(environ, start_response, settings, request["client"])
                return []
            is_open = self._open(environ, start_response, settings, request["client"])
        except (Exception, HookTimeout) as error:
            self._metrics.event("connections.refused")
            # Without a name: this frame, which the failure knows, must not know it.
            return refuse(environ, start_response, logged(logger, refusal(error), request))
        if is_open:
            logger.info(OPENED, request, extra=request)
        return []

    def _open(
        self, environ: Environ, start_response: StartResponse, settings: Settings, client: str
    ) -> bool:
        """Answer a request; return whether a websocket, or a stream, is open."""
        _check_address(environ, settings)
        _check_facility(environ, settings, self._metrics)
        is_stream = _asks_for_stream(environ)
        if is_stream:
            _check_fetch(environ)
        handshake = None if is_stream else wire.check(wire.Request.from_environ(environ))
        transport, runner = approach(environ, start_response, self._runner)
        if is_stream and environ["REQUEST_METHOD"] == "HEAD":
            grant = self._authorize(environ, settings, runner)
            start_response(OK, [*_STREAM_HEADERS, *_refused_header(grant)])
            return False
        place = runner.call(runner.enter, client)
        opening = Opening(environ, settings, handshake, transport, runner, place)
        try:
            ready = self._shake_hands(opening)
            runner.call(_adopt, opening, ready)
        except BaseException:
            runner.call(runner.leave, place)
            raise
        if ready.source is not None:
            ready.source.start()
        return True

    def _publish(
        self, environ: Environ, start_response: StartResponse, settings: Settings, client: str
    ) -> None:
        """Publish what is posted."""
        _check_address(environ, settings)
        _check_facility(environ, settings, self._metrics)
        _, runner = approach(environ, start_response, self._runner)
        body = read_body(environ, settings.max_message_size)
        # Whatever asks for it once more, such as a hook.
        again = {**environ, "wsgi.input": io.BytesIO(body)}
        grant = self._authorize(again, settings, runner)
        try:
            _check_post(grant, runner, client, len(body))
            publish = partial(grant.subscriber.publish_message, RedisMessage(body))
            runner.offload(framed, publish, timeout=settings.hook_timeout)
        finally:
            self._release(grant.subscriber, runner)
        self._metrics.event("messages.received")
        start_response(NO_CONTENT, [("Cache-Control", "no-store")])

    def _release(self, subscriber: RedisSubscriber, runner: Runner) -> None:
        """Give a subscriber up whose message is published, or not; that can't change any more."""
        own = type(subscriber)
        if not overrides(own, "release") and not has_own_source(own):
            return
        try:
            runner.offload(framed, subscriber.release)
        except Exception:
            self._metrics.event("hooks.failed")
            logger.exception("%s.release failed", own.__qualname__)

    def _authorize(
        self, environ: Environ, settings: Settings, runner: Runner, held: int = 0
    ) -> access.Grant:
        """Return what a request gets that may have so many further channels."""
        subscriber = self._make_subscriber(settings)
        authorize = partial(access.authorize, environ, settings, subscriber)
        grant: access.Grant = runner.offload(framed, authorize, timeout=settings.hook_timeout)
        _check_channels(grant, settings, self._metrics, held)
        return grant

    def _shake_hands(self, opening: Opening) -> _Ready:
        """Do all that can refuse, and send the answer at last."""
        settings, runner = opening.settings, opening.runner
        grant = self._authorize(opening.environ, settings, runner)
        runner.call(runner.identify, opening.place, grant.identity)
        terms = _terms(opening, grant)
        facility = _join(runner, grant, _membership(opening.environ, settings, grant, terms))
        try:
            source = _first_words(runner, settings, facility, grant.subscriber)
            sock, early = take(opening.transport, terms.status, terms.headers)
        except BaseException:
            runner.call(facility.leave)
            raise
        handler = self._handler(opening, grant, facility, terms)
        return _Ready(terms, facility, handler, source, sock, early)

    def _handler(
        self, opening: Opening, grant: access.Grant, facility: Facility, terms: _Terms
    ) -> Handler:
        if terms.form is not Form.V1:
            return facility
        runner = opening.runner
        # A token of the address is gone by then, and a ticket was good once.
        environ = kept(opening.environ) | {access.LOGIN: grant.login}
        visitor = _Visitor(environ, opening.place, opening.settings, runner, terms)
        subscribe = partial(self._subscribe, visitor)
        return Multiplex(facility, subscribe, runner.options.heartbeat)

    def _subscribe(self, visitor: _Visitor, command: v1.Subscribe, held: int) -> Facility:
        """Join one more facility for an open websocket; runs on the hub."""
        environ = _asking(visitor, command)
        client = visitor.place.address
        request = {"path": flood.to_quote(environ["PATH_INFO"]), "client": client}
        try:
            return self._join_another(visitor, environ, command, held)
        except (Exception, HookTimeout) as error:
            self._metrics.event("connections.refused")
            raise logged(logger, refusal(error), request) from None

    def _join_another(
        self, visitor: _Visitor, environ: Environ, command: v1.Subscribe, held: int
    ) -> Facility:
        settings, runner = visitor.settings, visitor.runner
        _check_facility(environ, settings, self._metrics)
        grant = self._authorize(environ, settings, runner, held)
        if not visitor.place.identity.is_same(grant.identity):
            raise HandshakeError(403, "You are somebody else by now.")
        membership = _membership(environ, settings, grant, visitor.terms)
        facility = _join(runner, grant, replace(membership, command=command.id))
        try:
            source = _first_words(runner, settings, facility, grant.subscriber)
        except BaseException:
            facility.leave()
            raise
        if source is not None:
            source.start()
        return facility

    def _make_subscriber(self, settings: Settings) -> RedisSubscriber:
        own: type[RedisSubscriber] = load_callable(settings.subscriber)
        client = self._client()
        return own(client if has_own_source(own) else LoopClient(client))


def _adopt(opening: Opening, ready: _Ready) -> None:
    """Open the websocket, or leave nothing of it; runs on the hub."""
    runner, sock, place = opening.runner, ready.sock, opening.place
    try:
        if opening.handshake is None:
            runner.adopt_stream(sock, ready.handler, place)
        else:
            inflates = ready.terms.agreement is not None
            runner.adopt(sock, ready.handler, ready.early, place, inflates)
    except BaseException:
        ready.facility.leave()
        ready.sock.close()
        raise


def _asks_for_stream(environ: Environ) -> bool:
    is_read = environ.get("REQUEST_METHOD") in ("GET", "HEAD")
    accept = environ.get("HTTP_ACCEPT", "")
    return is_read and not environ.get("HTTP_UPGRADE") and sse.accepts(accept)


def _check_fetch(environ: Environ) -> None:
    """Refuse what a page of another site may have asked for: a stream need not tell its origin.

    Another site's page can't read what it gets without one, but a page on a name of its own that
    leads to this server's address can; so the Host has to be one of ours.
    """
    if "HTTP_ORIGIN" in environ:
        return
    site: str = environ.get("HTTP_SEC_FETCH_SITE", "none")
    if site not in ("none", "same-origin"):
        detail = f"Sec-Fetch-Site is {site[:200]!r}, and there is no Origin."
        raise HandshakeError(403, "Another site may not open streams here.", detail=detail)
    host = access.hostname(environ)
    if not access.is_allowed_host(host, access.allowed_hosts()):
        detail = f"The Host is {host[:200]!r}; ALLOWED_HOSTS does not have it."
        raise HandshakeError(403, "There are no streams under this name.", detail=detail)


def _terms(opening: Opening, grant: access.Grant) -> _Terms:
    if opening.handshake is None:
        headers = [*sse.HEADERS, *_shared_with(opening.environ), *_refused_header(grant)]
        return _Terms(OK, wire.checked(headers), Form.EVENT)
    handshake, settings = opening.handshake, opening.settings
    agreement = compression(handshake, settings)
    known = [v1.PROTOCOL, *settings.subprotocols]
    subprotocol = wire.select_subprotocol(handshake.subprotocols, known)
    extra = [*_refused_header(grant), *extension_header(agreement)]
    headers = wire.response_headers(handshake, subprotocol, extra)
    form = Form.V1 if subprotocol == v1.PROTOCOL else Form.RAW
    return _Terms(wire.SWITCHING, headers, form, agreement)


def _shared_with(environ: Environ) -> Headers:
    """Return what lets a page of another origin read, which may open websockets, too."""
    if (origin := environ.get("HTTP_ORIGIN")) is None:
        return []
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin"),
    ]


def _check_post(grant: access.Grant, runner: Runner, client: str, size: int) -> None:
    one = grant.identity
    who = f"user {one.user}" if one.user else f"session {one.session}" if one.session else client
    if not runner.call(runner.may_post, who, size):
        raise HandshakeError(429, "Too much was sent in too short a time.", (("Retry-After", "1"),))
    publishes = overrides(type(grant.subscriber), "publish_message")
    if not publishes and not grant.subscriber.publications:
        raise HandshakeError(403, UNPUBLISHED)


def _client(environ: Environ, settings: Settings) -> str:
    return client_address(environ, settings.trusted_proxies, settings.forwarded_header)


def _check_address(environ: Environ, settings: Settings) -> None:
    path = environ.get("PATH_INFO", "")
    if not path.startswith(settings.websocket_url) or path == settings.websocket_url:
        raise HandshakeError(404, f"Websockets are at {settings.websocket_url}<facility>.")


def _check_facility(environ: Environ, settings: Settings, metrics: Metrics) -> None:
    if not re.fullmatch(settings.facility_pattern, _facility(environ, settings)):
        metrics.event("limits.facility")
        raise HandshakeError(404, "There is no such facility.")


def _facility(environ: Environ, settings: Settings) -> str:
    path: str = environ["PATH_INFO"].removeprefix(settings.websocket_url)
    try:
        # PEP 3333: the bytes of the path come as latin-1.
        return path.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise HandshakeError(404, "The name of a facility must be UTF-8.") from None


def _check_channels(
    grant: access.Grant, settings: Settings, metrics: Metrics, held: int = 0
) -> None:
    subscriber = grant.subscriber
    channels = {*subscriber.subscriptions, *subscriber.publications}
    # As Membership.size: a further facility takes memory even without any.
    count = held + (len(channels) or min(held, 1))
    if count > settings.max_channels:
        metrics.event("limits.channels")
        raise HandshakeError(403, f"At most {settings.max_channels} channels are possible.")


def _join(runner: Runner, grant: access.Grant, membership: Membership) -> Facility:
    """Join the granted channels; a site's own subscriber may take the client's messages."""
    subscriber = grant.subscriber
    own = type(subscriber)
    publisher = None
    if overrides(own, "publish_message", "release"):
        publishes = overrides(own, "publish_message")
        publisher = HookPublisher(subscriber, runner, framed, publishes=publishes)
    persisted = not overrides(own, *_HISTORY)
    return runner.call(runner.prepare, membership, publisher, persisted)


def _first_words(
    runner: Runner, settings: Settings, facility: Facility, subscriber: RedisSubscriber
) -> OwnSource | None:
    """Let a site's own subscriber say what comes first, and what it reads by itself."""
    own = type(subscriber)
    if overrides(own, *_HISTORY) or has_own_source(own):
        send = partial(subscriber.send_persited_messages, HookedWebsocket(facility, runner))
        runner.offload(framed, send, timeout=settings.hook_timeout)
    return OwnSource(subscriber, facility, runner) if has_own_source(own) else None


def _asking(visitor: _Visitor, command: v1.Subscribe) -> Environ:
    """Return the request with which a client would have asked for a facility by its address."""
    path = visitor.settings.websocket_url + command.facility
    query = [(flag, "") for flag in command.flags]
    query += [("since", f"{channel}@{position}") for channel, position in command.since.items()]
    query += [("from", command.token)] if command.token else []
    return {
        **visitor.environ,
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": urlencode(query),
    }


def _membership(
    environ: Environ,
    settings: Settings,
    grant: access.Grant,
    terms: _Terms,
) -> Membership:
    subscriber: RedisSubscriber = grant.subscriber
    followed = () if has_own_source(type(subscriber)) else subscriber.subscriptions
    shown = settings.namespace.shown
    since = {name.encode(): grant.since.get(shown(name), grant.elsewhere) for name in followed}
    return Membership(
        name=_facility(environ, settings),
        since=since if any(since.values()) else {},
        refused=grant.refused,
        subscriptions=tuple(name.encode() for name in followed),
        publications=tuple(name.encode() for name in subscriber.publications),
        echo="echo" in grant.flags,
        encoding=get_encoding(
            "binary" in grant.flags and terms.form is Form.RAW,
            terms.agreement and terms.agreement.deflate,
            terms.form,
        ),
    )


def framed(function: Callable[[], Any]) -> Any:
    """Call a hook with the care for the database that Django takes around a request."""
    close_old_connections()
    try:
        return function()
    except BaseException as error:
        if isinstance(error, (Exception, HookTimeout)):
            raise
        # What sys.exit() or a timeout of gevent raises would end the loop or leave no answer.
        raise RuntimeError(f"A hook of the site ended with {type(error).__name__}") from error
    finally:
        close_old_connections()


def _refused_header(grant: access.Grant) -> list[tuple[str, str]]:
    if not grant.refused:
        return []
    reasons = ", ".join(f"{name} ({reason})" for name, reason in grant.refused.items())
    return [(REFUSED_HEADER, reasons)]
