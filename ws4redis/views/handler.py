"""Runs websocket views through Django's middleware, by the URLconf of websockets."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.core import signals
from django.core.exceptions import PermissionDenied
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIRequest, get_script_name
from django.http import Http404, HttpResponseBase
from django.urls import set_script_prefix

from ws4redis import flood
from ws4redis.conf import get_settings
from ws4redis.exceptions import BadMessage, ConnectionClosed
from ws4redis.views.ended import Ended, response_of
from ws4redis.views.socket import Upgrade, Websocket
from ws4redis.wire.close import CloseCode

logger = flood.clients.guard(logging.getLogger(__name__))

BAD = "A client of %s sent what its view does not take: %s"


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
        request.urlconf = get_settings().websocket_urlconf
        request.websocket = Websocket(request, upgrade, subprotocols)
        response = self.get_response(request)
        return request.websocket, response

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
    except BadMessage as error:
        if not request.websocket.is_open:
            raise
        logger.warning(BAD, flood.to_quote(request.path), flood.to_quote(str(error)))
        request.websocket.close(CloseCode.INVALID_PAYLOAD)
        return Ended()
    except Exception as error:
        if request.websocket.is_open and not isinstance(error, (Http404, PermissionDenied)):
            # The answer, with which Django tells of it, reaches nobody.
            logger.exception("The websocket view of %s failed", flood.to_quote(request.path))
        raise
