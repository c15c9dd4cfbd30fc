"""What makes a function a websocket handler."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ws4redis.tokens import token_required
from ws4redis.views.handlers.driving import drive
from ws4redis.views.handlers.manager import SubscriptionManager
from ws4redis.views.handlers.socket import HandlerSocket

Handler = Callable[..., Any]
View = Callable[..., Any]


def websocket(route: str, authenticate: bool = False) -> Callable[[Handler], View]:
    """Make a function a handler, called as ``handler(ws, params)``.

    Its websocket is closed when it returns; what it returns does not count.

    Args:
        route: Its path below ``WS4REDIS_HANDLER_PREFIX``, with converters as in Django's ``path``;
            what they capture is handed over by name.
        authenticate: Whether to refuse who has no valid token. The handler then gets ``user``.
    """
    return functools.partial(_view, _checked(route), authenticate, _call)


def websocket_pubsub(route: str, authenticate: bool = False) -> Callable[[Handler], View]:
    """Make a function a handler that gets a ``manager``, too, which subscribes channels.

    Args:
        route: See ``websocket``.
        authenticate: See ``websocket``.
    """
    return functools.partial(_view, _checked(route), authenticate, _call_with_manager)


def is_handler(value: Any) -> bool:
    """Return whether something is a function that these decorators have made a handler."""
    return callable(value) and isinstance(getattr(value, "route", None), str)


def _checked(route: Any) -> str:
    if isinstance(route, str):
        return route
    raise TypeError(
        f"A handler needs a route, such as @websocket('/echo'), got {route!r}. The @websocket that "
        "takes none is that of views, from ws4redis.views."
    )


def _view(route: str, authenticate: bool, call: Callable[..., None], handler: Handler) -> View:
    if inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler):
        raise TypeError(f"A handler must be a function or a generator, {handler!r} is async.")

    @functools.wraps(handler)
    def view(request: Any, **arguments: Any) -> None:
        if authenticate:
            arguments["user"] = request.user
        ws = HandlerSocket(request.websocket, request)
        call(handler, ws, request.GET, arguments)

    made: Any = token_required(view) if authenticate else view
    made.route = route
    return made  # type: ignore[no-any-return]


def _call(handler: Handler, ws: HandlerSocket, params: Any, arguments: dict[str, Any]) -> None:
    drive(handler(ws, params, **arguments))


def _call_with_manager(
    handler: Handler, ws: HandlerSocket, params: Any, arguments: dict[str, Any]
) -> None:
    manager = SubscriptionManager(ws)
    try:
        drive(handler(ws, params, manager=manager, **arguments))
    finally:
        manager.stop()
