"""Who may open a websocket, told by a token."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseForbidden
from django.views.decorators.debug import sensitive_variables

from ws4redis.conf import load_token_methods
from ws4redis.exceptions import BusError
from ws4redis.tokens.handed import take

REFUSED = "A valid token is needed."
"""Said of one that is missing as of one that is wrong."""

View = Callable[..., Any]


@sensitive_variables("token")
def user_of(request: Any) -> Any:
    """Return the user whose token a request hands in; None without one that is valid.

    The token is taken out of the request, so this answers once.

    Raises:
        BusError: Redis is away, which keeps the tickets.
    """
    token = take(request)
    if token is None:
        return None
    for method in load_token_methods():
        user = method(token)
        if user is not None:
            return user if getattr(user, "is_active", True) else None
    return None


def token_required(view: View) -> View:
    """Refuse a request without a valid token with a 403; else ``request.user`` is the token's.

    It may stand above or below other decorators.
    """

    @functools.wraps(view)
    def wrapper(request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            user = user_of(request)
        except BusError:
            return HttpResponse("Try again later.\n", "text/plain", 503, headers=_LATER)
        if user is None:
            return HttpResponseForbidden(f"{REFUSED}\n", "text/plain")
        _log_in(request, user)
        return view(request, *args, **kwargs)

    return wrapper


def process_request(request: Any) -> None:
    """For ``WS4REDIS_PROCESS_REQUEST``: let in to all facilities who hands in a valid token.

    Raises:
        PermissionDenied: It has none.
    """
    user = user_of(request)
    if user is None:
        raise PermissionDenied(REFUSED)
    _log_in(request, user)


_LATER = {"Retry-After": "2", "Cache-Control": "no-store"}


def _log_in(request: Any, user: Any) -> None:
    request.user = user
    if not hasattr(request, "session"):
        # A site whose clients all have tokens may have none.
        request.session = None
