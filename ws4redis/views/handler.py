"""Runs websocket views through Django's middleware, by the URLconf of websockets."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from django.core import signals
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIRequest, get_script_name
from django.dispatch import receiver
from django.http import HttpResponse, HttpResponseBase
from django.urls import ResolverMatch, get_resolver, set_script_prefix, set_urlconf

from ws4redis import flood
from ws4redis.conf import get_settings
from ws4redis.exceptions import BadMessage, BusError, ConnectionClosed
from ws4redis.views.ended import Ended, response_of
from ws4redis.views.socket import Upgrade, Websocket
from ws4redis.wire.close import CloseCode

logger = flood.clients.guard(logging.getLogger(__name__))

WITHOUT_REDIS = "The websocket view of '%s' can't do without Redis: %s"
BAD = "A client of '%s' sent what its view does not take: %s"


class ViewHandler(BaseHandler):
    """Calls views as Django's own handler does, but for what would last as long as a websocket.

    ``ATOMIC_REQUESTS`` does not count: a transaction would be open all the time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.load_middleware()

    def handle(
        self, environ: dict[str, Any], upgrade: Upgrade, subprotocols: tuple[str, ...]
    ) -> tuple[Websocket, HttpResponseBase]:
        """Call the view of a request; return its websocket and its response when it has ended."""
        set_script_prefix(get_script_name(environ))
        signals.request_started.send(sender=type(self), environ=environ)
        request: Any = WSGIRequest(environ)
        # That of middleware which looks whether there is such an address.
        request.urlconf = get_settings().websocket_urlconf
        request.websocket = Websocket(request, upgrade, subprotocols)
        response = self.get_response(request)
        _log_failure(request)
        return request.websocket, response

    def resolve_request(self, request: Any) -> ResolverMatch:
        """Find the view; names of URLs stay those of pages, such as that of the login."""
        urlconf = get_settings().websocket_urlconf
        if request.urlconf != urlconf:
            # A middleware has chosen it, for its pages.
            set_urlconf(request.urlconf)
        request.resolver_match = get_resolver(urlconf).resolve(request.path_info)
        return request.resolver_match  # type: ignore[no-any-return]

    def make_view_atomic(self, view: Callable[..., Any]) -> Callable[..., Any]:
        """Let a view return nothing when it has used its websocket, or has nothing to say."""

        def call(request: Any, *args: Any, **kwargs: Any) -> Any:
            response = response_of(request, _called(view, request, args, kwargs))
            _forget_session(request)
            return response

        return call


def _forget_session(request: Any) -> None:
    """Let a session that the view has not changed be loaded again, should it be saved.

    With ``SESSION_SAVE_EVERY_REQUEST`` it is, and pages have changed it while the websocket lasted.
    """
    session = getattr(request, "session", None)
    if session is not None and request.websocket.is_open and not session.modified:
        vars(session).pop("_session_cache", None)


def _called(view: Callable[..., Any], request: Any, args: Any, kwargs: Any) -> Any:
    try:
        return view(request, *args, **kwargs)
    except ConnectionClosed:
        if not (request.websocket.is_open or request.websocket.is_gone):
            raise
        # The client went while the view spoke to it, as clients do.
        return Ended()
    except BusError as error:
        logger.error(WITHOUT_REDIS, flood.to_quote(request.path), error)
        if not request.websocket.is_open:
            headers = {"Retry-After": "2"}
            return HttpResponse("Try again later.\n", "text/plain", status=503, headers=headers)
        request.websocket.close(CloseCode.TRY_AGAIN_LATER)
        return Ended()
    except BadMessage as error:
        if not request.websocket.is_open:
            raise
        logger.warning(BAD, flood.to_quote(request.path), flood.to_quote(str(error)))
        request.websocket.close(CloseCode.INVALID_PAYLOAD)
        return Ended()


@receiver(signals.got_request_exception, dispatch_uid="ws4redis.views")
def _note_failure(request: Any = None, **_: Any) -> None:
    """Note what a view, or a middleware, has raised."""
    if _is_ours(request):
        request.websocket_failure = sys.exc_info()[1]


def _is_ours(request: Any) -> bool:
    # Other packages give pages a websocket, too.
    return isinstance(getattr(request, "websocket", None), Websocket)


def _log_failure(request: Any) -> None:
    # It knows the frames that know the request, so the request should not know it any longer.
    failure = vars(request).pop("websocket_failure", None)
    if failure is not None:
        path = flood.to_quote(request.path)
        logger.error("The websocket view of '%s' failed", path, exc_info=failure)


def _without_traceback(record: logging.LogRecord) -> bool:
    """Let Django's line point to ours, which is there without a ``LOGGING``, too.

    Every formatter takes the text that is there already; a mail to the admins has its own.
    """
    is_failure = record.exc_info and record.levelno >= logging.ERROR
    if is_failure and _is_ours(getattr(record, "request", None)):
        record.exc_text = f"    {__name__} has the traceback."
    return True


logging.getLogger("django.request").addFilter(_without_traceback)
