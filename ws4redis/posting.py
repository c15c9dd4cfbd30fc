"""Messages that are published by a POST, without a websocket."""

from __future__ import annotations

import re
from typing import Any

from ws4redis.exceptions import HandshakeError

_LENGTH = re.compile(r"[0-9]{1,15}", re.ASCII)


def read_body(environ: dict[str, Any], limit: int) -> bytes:
    """Return the body of a request.

    Args:
        environ: Its WSGI environment.
        limit: Bytes that it may have.

    Raises:
        HandshakeError: It is too large, it did not come in time, or nobody knows its length.
    """
    length = _length(environ, limit)
    if length > limit:
        detail = f"It has {length}; see WS4REDIS_MAX_MESSAGE_SIZE."
        raise HandshakeError(413, f"A message has at most {limit} bytes.", detail=detail)
    try:
        body: bytes = environ["wsgi.input"].read(length)
    except TimeoutError as error:
        raise HandshakeError(408, "The message did not come in time.") from error
    except OSError as error:
        raise HandshakeError(400, "The client went away.") from error
    if len(body) < length:
        raise HandshakeError(400, "The message is not complete.")
    return body


def _length(environ: dict[str, Any], limit: int) -> int:
    encoding: str | None = environ.get("HTTP_TRANSFER_ENCODING")
    if encoding is not None:
        detail = (
            f"Its size is unknown (Transfer-Encoding: {encoding[:200]}); "
            f"WS4REDIS_MAX_MESSAGE_SIZE allows {limit} bytes."
        )
        raise HandshakeError(411, "Say how long the message is (Content-Length).", detail=detail)
    text = environ.get("CONTENT_LENGTH") or "0"
    if not _LENGTH.fullmatch(text):
        raise HandshakeError(400, "The Content-Length must be a number.")
    return int(text)
