"""What a view answers that has used its websocket."""

from __future__ import annotations

import inspect
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase


class Ended(HttpResponse):
    """A response for the sake of decorators and middleware; nobody else gets to see it."""

    status_code = 204


def response_of(request: Any, returned: Any) -> Any:
    """Return what a view has returned; if that is nothing, open its websocket all the same.

    Raises:
        TypeError: It is no response.
    """
    if isinstance(returned, HttpResponseBase):
        return returned
    if returned is not None:
        if inspect.iscoroutine(returned):
            returned.close()
            raise TypeError("An asynchronous view can't hold a websocket: write it with def.")
        kind = type(returned).__name__
        raise TypeError(f"A websocket view returns nothing, or an HttpResponse, not {kind}.")
    request.websocket.accept()
    return Ended()
