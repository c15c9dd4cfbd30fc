"""What a client gets that is refused, and what the log says of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any
from wsgiref.util import is_hop_by_hop

from ws4redis import flood
from ws4redis.exceptions import BusError, HandshakeError, HookTimeout, TransportError
from ws4redis.transports import Environ, StartResponse

OPENED = "Opened '%(path)s' for %(client)s"
REFUSED = "Refused '%(path)s' for %(client)s with %(status)d: %(reason)s"
REASON_SHOWN = 500
"""Characters of a reason in the log; some name the way out."""

REFUSED_HEADER = "X-WS4Redis-Refused"
"""On an open websocket: the channels it asked for and did not get. On a refusal: ``handshake``,
which tells the loop's own answer from that of a proxy or of Django."""


def refusal(error: Exception | HookTimeout) -> HandshakeError:
    """Return the HTTP answer for whatever went wrong; no foreign text gets into it."""
    if isinstance(error, HandshakeError):
        return error
    if isinstance(error, BusError):
        return HandshakeError(503, "Try again later.", (("Retry-After", "2"),), str(error))
    if isinstance(error, HookTimeout):
        detail = "A hook or a view of the site took longer than WS4REDIS_HOOK_TIMEOUT."
        return HandshakeError(503, "Try again later.", (("Retry-After", "2"),), detail)
    if isinstance(error, TransportError):
        return HandshakeError(500, "Websockets are not possible here.", detail=str(error))
    internal = HandshakeError(500, "Internal error.")
    internal.__cause__ = error
    return internal


def logged(log: logging.Logger, refused: HandshakeError, request: dict[str, Any]) -> HandshakeError:
    """Write one line and return the refusal; for what nobody expected, with its traceback.

    Args:
        log: Of whoever refuses.
        refused: The answer.
        request: Its ``path`` and ``client``, fit for the log.
    """
    is_fault = refused.status == 500
    reason = flood.escaped(f"{refused.message} {refused.detail}".rstrip(), REASON_SHOWN)
    details = request | {"status": refused.status, "reason": reason}
    level = logging.ERROR if is_fault else logging.WARNING
    log.log(
        level, REFUSED, details, extra=details, exc_info=refused.__cause__ if is_fault else None
    )
    return refused


def refuse(
    environ: Environ, start_response: StartResponse, refused: HandshakeError
) -> Iterable[bytes]:
    """Answer a request with a refusal."""
    extra = [header for header in refused.headers if not is_hop_by_hop(header[0])]
    marked = [(REFUSED_HEADER, "handshake"), *extra]
    body = answer(start_response, refused.status, refused.message, marked)
    # A proxy that awaits none would take it for the answer to its next request.
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else body


def answer(
    start_response: StartResponse, status: int, text: str, extra: Sequence[tuple[str, str]] = ()
) -> Iterable[bytes]:
    """Answer a request with a line of text that nobody keeps.

    Args:
        start_response: See PEP 3333.
        status: The HTTP status code.
        text: The line, without its end.
        extra: Further headers.
    """
    body = f"{text}\n".encode()
    start_response(
        f"{status} {HTTPStatus(status).phrase}",
        [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            *extra,
        ],
    )
    return [body]
