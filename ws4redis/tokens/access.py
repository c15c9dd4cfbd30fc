"""Who may open a websocket, told by a token."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import Error as DatabaseError
from django.http import HttpResponse, HttpResponseForbidden
from django.views.decorators.debug import sensitive_variables

from ws4redis import flood
from ws4redis.access import LOGIN
from ws4redis.conf import load_token_methods
from ws4redis.exceptions import BusError
from ws4redis.identity import is_stored, remembered_session
from ws4redis.tokens.handed import take
from ws4redis.tokens.login import Login

logger = flood.clients.guard(logging.getLogger(__name__))

REFUSED = "A valid token is needed."
"""Said of one that is missing as of one that is wrong."""

View = Callable[..., Any]

_WANTS_TOKEN = "_ws4redis_wants_token"
"""What decorators, and ``as_view()`` of classes, copy from the views that they stand above."""


@sensitive_variables()
def user_of(request: Any) -> Any:
    """Return the user whose token a request hands in; None without one that is valid.

    The token is taken out of the request, and its user is noted instead. Asked again, as for a
    further facility over an open websocket, this returns that user, if it still may come.

    Raises:
        BusError: Redis is away, which keeps the tickets.
        TypeError: A method has returned what is no user.
    """
    token, again = take(request), request.META.get(LOGIN)
    try:
        user = _by_token(token) if again is None else again()
    except DatabaseError as error:
        # Parameters of its query, and so the token, are in frames that can't be hidden: the ORM has
        # generators, which forget who has called them.
        raise error.with_traceback(None) from None
    if user is None or not user.is_authenticated or not getattr(user, "is_active", True):
        return None
    if again is None:
        request.META[LOGIN] = _remembered(user)
    return user


def _by_token(token: str | None) -> Any:
    if token is None:
        return None
    for method in load_token_methods():
        if (user := method(token)) is not None:
            return _checked(user)
    return None


def _checked(user: Any) -> Any:
    """Return what a method has returned, which may be a site's own, if it is a user at all."""
    if hasattr(user, "is_authenticated"):
        return user
    if inspect.iscoroutine(user):
        user.close()
    kind = type(user).__name__
    raise TypeError(f"WS4REDIS_TOKEN_AUTH must return a user or None, got a value of type {kind}.")


def _remembered(user: Any) -> Callable[[], Any]:
    """Return what finds a token's user again, as it is then; None if it may not come any more."""
    if not is_stored(user):
        return lambda: user
    login = Login.of(user, remembered_session(user))
    # By these, a method of the site may tell what the token is good for.
    notes = {name: value for name, value in vars(user).items() if not name.startswith("_")}

    def find() -> Any:
        if (found := login.find()) is not None:
            # The fields are new.
            vars(found).update(notes | vars(found))
        return found

    return find


def token_required(view: View) -> View:
    """Refuse a request without a valid token with a 403; else ``request.user`` is the token's.

    It may stand above or below other decorators.
    """

    @functools.wraps(view)
    def wrapper(request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            user = user_of(request)
        except BusError as error:
            path = flood.to_quote(request.path)
            logger.warning("The token for '%s' can't be looked at: %s", path, error)
            return HttpResponse("Try again later.\n", "text/plain", 503, headers=_LATER)
        if user is None:
            return HttpResponseForbidden(f"{REFUSED}\n", "text/plain")
        _log_in(request, user)
        return view(request, *args, **kwargs)

    setattr(wrapper, _WANTS_TOKEN, True)
    return wrapper


def wants_token(view: View) -> bool:
    """Return whether ``token_required`` stands above a view, maybe below other decorators."""
    return getattr(view, _WANTS_TOKEN, False)


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
