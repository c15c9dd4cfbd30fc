"""What makes a function, or a class, a websocket view."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ws4redis.views.ended import response_of

View = Callable[..., Any]

NOT_RECEIVED = "A view of @websocket_loop has to receive what it is called for: call receive()."


def websocket(view: View) -> View:
    """Give a view its websocket as second argument.

    It may stand above or below Django's own decorators; below those that look at the response.

    Raises:
        TypeError: It is given a route, as those of handlers are.
    """
    if isinstance(view, str):
        raise TypeError(
            f"A view has its route in the URLconf: write @websocket, without {view!r}. The "
            "@websocket that takes a route is that of handlers, from ws4redis.views.handlers."
        )

    @functools.wraps(view)
    def wrapper(request: Any, *args: Any, **kwargs: Any) -> Any:
        return response_of(request, view(request, request.websocket, *args, **kwargs))

    return wrapper


def websocket_loop(view: View) -> View:
    """Call a view, with its websocket as second argument, whenever there is something to receive.

    The view has to receive it. It is called until the websocket has ended, or until it returns an
    answer. The websocket is open before it is called for the first time, so what refuses has to
    stand above.
    """

    @functools.wraps(view)
    def wrapper(request: Any, *args: Any, **kwargs: Any) -> Any:
        socket = request.websocket
        while socket.wait():
            received = socket.received
            returned = view(request, socket, *args, **kwargs)
            if returned is not None:
                return response_of(request, returned)
            if socket.received == received:
                raise RuntimeError(NOT_RECEIVED)
        return response_of(request, None)

    return wrapper
