"""The token that a request hands in."""

from __future__ import annotations

import re
from typing import Any

from django.views.decorators.debug import sensitive_variables

PARAMETER = "token"
"""Of the address."""
SUBPROTOCOL = "ws4redis"
"""What is answered to a client that hands its token in as a subprotocol, and speaks no other one.
Browsers want an answer when they offer any."""
PREFIX = "ws4redis.token."
"""What stands before a token among the subprotocols."""

WHOLE_ADDRESSES = ("REQUEST_URI", "RAW_URI")
"""Where servers note the address as it came."""

_TOKEN = re.compile(r"[!-~]{1,4096}")
_IN_ADDRESS = re.compile(rf"([?&]{PARAMETER}=)[^&\s]*")
_BEARER = re.compile(r"bearer +(.*)", re.IGNORECASE)


_SET_ASIDE = "_ws4redis_token"
"""Where a request has its token meanwhile; no report of an error shows that."""


@sensitive_variables()
def set_aside(request: Any) -> None:
    """Take the token out of a request before anybody sees it, such as middleware.

    ``take`` returns it then.
    """
    vars(request)[_SET_ASIDE] = take(request)


@sensitive_variables()
def take(request: Any) -> str | None:
    """Take the token out of a request, so that no view and no report of an error shows it.

    Returns:
        That of the header, of a subprotocol or of the address, the first of them; None without one,
        or with one that can't be one.
    """
    aside = vars(request).pop(_SET_ASIDE, None)
    taken = [aside, _header(request.META), _subprotocol(request), _parameter(request)]
    # It has read them when it was made.
    request.__dict__.pop("headers", None)
    token: str | None = next((one for one in taken if one is not None), None)
    return token if token is not None and _TOKEN.fullmatch(token) else None


def hidden(text: str) -> str:
    """Return a text, such as a line of a log, without the tokens in its addresses."""
    return _IN_ADDRESS.sub(r"\1***", text)


def _header(meta: dict[str, Any]) -> str | None:
    match = _BEARER.fullmatch(meta.get("HTTP_AUTHORIZATION", ""))
    if match is None:
        return None
    del meta["HTTP_AUTHORIZATION"]
    return str(match[1]).strip()


def _subprotocol(request: Any) -> str | None:
    name = "HTTP_SEC_WEBSOCKET_PROTOCOL"
    offered = [one.strip(" \t") for one in request.META.get(name, "").split(",")]
    token: str | None = next((one for one in offered if one.startswith(PREFIX)), None)
    if token is None:
        return None
    others = tuple(one for one in offered if one and not one.startswith(PREFIX))
    request.META[name] = ", ".join(others)
    if (websocket := getattr(request, "websocket", None)) is not None:
        websocket.subprotocols = others
        websocket.usual_subprotocol = SUBPROTOCOL if SUBPROTOCOL in others else None
    return token.removeprefix(PREFIX)


def _parameter(request: Any) -> str | None:
    if PARAMETER not in request.GET:
        return None
    rest = request.GET.copy()
    token = rest.pop(PARAMETER)[0]
    request.META["QUERY_STRING"] = rest.urlencode()
    for name in WHOLE_ADDRESSES:
        if name in request.META:
            request.META[name] = request.META[name].partition("?")[0]
    del request.GET
    return str(token)
