"""One websocket request on a view: from its handshake to an open websocket, or an HTTP answer.

Django's middleware and the view run beside the request, as they go on when it has ended. The
request waits until the view either opens its websocket, or answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from functools import partial
from typing import Any

from django.core.handlers.wsgi import get_path_info
from django.http import HttpResponseBase

from ws4redis import access, flood
from ws4redis.answers import OPENED, logged, refusal, refuse
from ws4redis.conf import Settings
from ws4redis.entrance import (
    FindRunner,
    Opening,
    approach,
    compression,
    extension_header,
    kept,
    take,
)
from ws4redis.exceptions import ConnectionClosed, HandshakeError, HookTimeout
from ws4redis.identity import identify
from ws4redis.loop.admission import ANONYMOUS, Identity
from ws4redis.loop.runner import Runner
from ws4redis.metrics import Metrics
from ws4redis.proxies import client_address
from ws4redis.transports import Environ, StartResponse
from ws4redis.views.ended import Ended
from ws4redis.views.handler import ViewHandler, find_view
from ws4redis.views.line import LoopLine
from ws4redis.views.meeting import GONE, Acceptance, Answer, Meeting
from ws4redis.views.running import Views
from ws4redis.views.socket import Line, Websocket
from ws4redis.wire import handshake as wire
from ws4redis.wire.close import CloseCode
from ws4redis.wire.outgoing import get_encoding

logger = flood.clients.guard(logging.getLogger(__name__))

NO_REDIRECT = "Websockets follow no redirect, such as to a login."
ANSWERED = "So says a view, or a middleware."


def asks_for_view(environ: Environ, urlconf: str | None) -> bool:
    """Return whether a request asks for a view's websocket; its page may have the same path.

    Args:
        environ: Of the request.
        urlconf: That of websockets; None if there is none.
    """
    if urlconf is None or environ.get("HTTP_UPGRADE", "").lower() != "websocket":
        return False
    return find_view(get_path_info(environ), urlconf) is not None


class ViewEndpoint:
    """The WSGI application that opens websockets for views.

    Args:
        settings: Returns the settings of ws4redis.
        runner: Returns the loop of this process, given what takes the sockets out of its server.
        metrics: Where refusals are counted.
        views: Where views run.
        handler: Calls them.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        runner: FindRunner,
        metrics: Metrics,
        views: Views | None = None,
        handler: ViewHandler | None = None,
    ) -> None:
        self._settings = settings
        self._runner = runner
        self._metrics = metrics
        self._handler = handler or ViewHandler()
        self._views = views or Views()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request = {"path": flood.to_quote(environ.get("PATH_INFO", "")), "client": "unknown"}
        try:
            settings = self._settings()
            request["client"] = client_address(
                environ, settings.trusted_proxies, settings.forwarded_header
            )
            answer = self._open(environ, start_response, settings, request["client"])
        except (Exception, HookTimeout) as error:
            self._metrics.event("connections.refused")
            return refuse(environ, start_response, logged(logger, refusal(error), request))
        if answer is None:
            logger.info(OPENED, request, extra=request)
            return []
        self._metrics.event("connections.refused")
        logged(logger, HandshakeError(answer.status, ANSWERED), request)
        start_response(f"{answer.status} {answer.reason}", answer.headers)
        return [answer.body]

    def _open(
        self, environ: Environ, start_response: StartResponse, settings: Settings, client: str
    ) -> Answer | None:
        """Let a view decide; return its answer, or None if its websocket is open."""
        handshake = wire.check(wire.Request.from_environ(environ))
        transport, runner = approach(environ, start_response, self._runner)
        access.check_origin(access.request_of(environ), settings)
        place = runner.call(runner.enter, client)
        opening = Opening(environ, settings, handshake, transport, runner, place)
        try:
            decision = self._decide(opening, handshake.subprotocols)
            if isinstance(decision, Acceptance):
                _accept(opening, handshake, decision)
                return None
        except BaseException:
            runner.call(runner.leave, place)
            raise
        runner.call(runner.leave, place)
        return decision

    def _decide(self, opening: Opening, subprotocols: tuple[str, ...]) -> Answer | Acceptance:
        meeting, settings = self._views.meet(opening.runner), opening.settings
        upgrade, environ = _Upgrade(meeting, opening.runner), kept(opening.environ)
        view = partial(self._run, environ, subprotocols, settings, upgrade, meeting)
        self._views.start(opening.runner, view, settings.view_threads)
        try:
            decision = meeting.wait(settings.hook_timeout)
        except TimeoutError as error:
            raise HookTimeout from error
        if isinstance(decision, HandshakeError):
            raise decision
        if isinstance(decision, BaseException):
            # What sys.exit() raises would end the server.
            raise RuntimeError("A view, or a middleware, has failed") from decision
        return decision

    def _run(
        self,
        environ: Environ,
        subprotocols: tuple[str, ...],
        settings: Settings,
        upgrade: _Upgrade,
        meeting: Meeting,
    ) -> None:
        """Call middleware and view; answer, or close the websocket, as they end."""
        try:
            websocket, response = self._handler.handle(environ, upgrade, subprotocols)
            with closing(response):
                if not websocket.is_open:
                    meeting.decide(_answer(response, settings))
                else:
                    _close(websocket, response)
        except BaseException as error:
            # With DEBUG_PROPAGATE_EXCEPTIONS, or in a middleware of the site.
            if not meeting.decide(error):
                logger.exception("A websocket view failed")
                upgrade.end(CloseCode.INTERNAL_ERROR)
        finally:
            upgrade.end(CloseCode.NORMAL)


class _Upgrade:
    """Opens the websocket of one view."""

    def __init__(self, meeting: Meeting, runner: Runner) -> None:
        self._meeting = meeting
        self._runner = runner
        self._line: Any = None

    def reach_redis(self) -> None:
        """See ``Upgrade.reach_redis``."""
        self._runner.call(self._runner.reach_redis)

    def accept(self, request: Any, subprotocol: str | None, headers: Mapping[str, str]) -> Line:
        """See ``Upgrade.accept``."""
        self._line = self._meeting.accept(_identity(request), subprotocol, headers)
        return self._line  # type: ignore[no-any-return]

    def end(self, code: int) -> None:
        """Close the websocket, if it was opened and has not ended, and give up what it holds."""
        if self._line is not None:
            if not self._line.is_closed:
                self._line.close(code, "")
            self._line.release()


def _identity(request: Any) -> Identity:
    if not hasattr(request, "session") or not hasattr(request, "user"):
        return ANONYMOUS
    return identify(request)


def _accept(opening: Opening, handshake: wire.Handshake, acceptance: Acceptance) -> None:
    """Open the websocket; whatever goes wrong is told to the view, too."""
    try:
        line = _opened(opening, handshake, acceptance)
    except BaseException:
        acceptance.line.set_exception(ConnectionClosed(GONE))
        raise
    acceptance.line.set_result(line)


def _opened(opening: Opening, handshake: wire.Handshake, acceptance: Acceptance) -> LoopLine:
    runner = opening.runner
    runner.call(runner.identify, opening.place, acceptance.identity)
    agreement = compression(handshake, opening.settings)
    extra = [*acceptance.headers.items(), *extension_header(agreement)]
    headers = wire.response_headers(handshake, acceptance.subprotocol, extra)
    line = LoopLine(runner, get_encoding(False, agreement and agreement.deflate))
    sock, early = take(opening.transport, wire.SWITCHING, headers)
    try:
        runner.call(runner.adopt, sock, line, early, opening.place, agreement is not None)
    except BaseException:
        sock.close()
        raise
    return line


def _answer(response: HttpResponseBase, settings: Settings) -> Answer:
    """Return what a client gets whose websocket was not opened."""
    if response.status_code < 200:
        raise HandshakeError(500, "Internal error.", detail=f"{ANSWERED} ({response.status_code})")
    target = response.get("Location", "")
    if target and settings.redirect_status is not None:
        # Its query may hold what is nobody's business.
        detail = f"It leads to {target.partition('?')[0]}."
        raise HandshakeError(settings.redirect_status, NO_REDIRECT, detail=detail)
    content: Any = response
    body = b"".join(content) if response.streaming else content.content
    response.headers.setdefault("Content-Length", str(len(body)))
    headers = [*response.items()]
    headers += [("Set-Cookie", cookie.output(header="")) for cookie in response.cookies.values()]
    return Answer(response.status_code, response.reason_phrase, headers, body)


def _close(websocket: Websocket, response: HttpResponseBase) -> None:
    """Close the websocket of a view that has ended."""
    if isinstance(response, Ended):
        return
    if response.status_code < 400:
        logger.warning("A view has answered %d after its websocket was open", response.status_code)
    if response.status_code >= 300 and not websocket.closed:
        is_fault = response.status_code >= 500
        websocket.close(CloseCode.INTERNAL_ERROR if is_fault else CloseCode.POLICY_VIOLATION)
