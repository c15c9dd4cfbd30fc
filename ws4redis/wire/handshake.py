"""Request headers in, an accepted or refused handshake out (RFC 6455, section 4.2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ws4redis.exceptions import HandshakeError, UpgradeRequired
from ws4redis.wire.extensions import TOKEN, Extension, parse_extensions

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Section 1.3."""
VERSION = "13"
SWITCHING = "101 Switching Protocols"
"""The status that accepts a handshake."""

_TOKEN = re.compile(TOKEN)
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")


@dataclass(frozen=True, slots=True)
class Request:
    """What a handshake depends on."""

    method: str = "GET"
    protocol: str = "HTTP/1.1"
    upgrade: str = ""
    connection: str = ""
    version: str = ""
    key: str = ""
    subprotocols: str = ""
    extensions: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, Any]) -> Request:
        """Read a WSGI environment."""
        return cls(
            method=environ.get("REQUEST_METHOD", ""),
            protocol=environ.get("SERVER_PROTOCOL", ""),
            upgrade=environ.get("HTTP_UPGRADE", ""),
            connection=environ.get("HTTP_CONNECTION", ""),
            version=environ.get("HTTP_SEC_WEBSOCKET_VERSION", ""),
            key=environ.get("HTTP_SEC_WEBSOCKET_KEY", ""),
            subprotocols=environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", ""),
            extensions=environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", ""),
        )


@dataclass(frozen=True, slots=True)
class Handshake:
    """A request that can be accepted."""

    key: str
    subprotocols: tuple[str, ...]
    """What the client offers, its preferred one first."""
    extensions: tuple[Extension, ...] = ()
    """What the client offers, its preferred one first."""


def check(request: Request) -> Handshake:
    """Return what to accept.

    Raises:
        HandshakeError: The request can't be accepted; carries the HTTP answer.
    """
    if request.method != "GET":
        raise HandshakeError(405, "HTTP method must be a GET or a POST.", (("Allow", "GET, POST"),))
    if request.protocol != "HTTP/1.1":
        raise HandshakeError(
            400, "HTTP server protocol must be 1.1. (nginx needs proxy_http_version 1.1.)"
        )
    if "websocket" not in _elements(request.upgrade.lower()):
        raise HandshakeError(400, "Client does not wish to upgrade to a websocket.")
    if "upgrade" not in _elements(request.connection.lower()):
        raise HandshakeError(400, "The Connection header must name Upgrade.")
    if request.version != VERSION:
        raise UpgradeRequired("The version of the websocket protocol must be 13.")
    _check_key(request.key)
    extensions = parse_extensions(request.extensions)
    return Handshake(request.key, _subprotocols(request.subprotocols), extensions)


def accept_key(key: str) -> str:
    """Return the proof that we read the client's key (section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def select_subprotocol(offered: Sequence[str], supported: Sequence[str]) -> str | None:
    """Return the first of our subprotocols that the client offers."""
    return next((name for name in supported if name in offered), None)


def response_headers(
    handshake: Handshake, subprotocol: str | None = None, extra: Iterable[tuple[str, str]] = ()
) -> list[tuple[str, str]]:
    """Return the headers that accept a handshake.

    Raises:
        ValueError: A header holds what would end it or can't be sent.
    """
    headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_key(handshake.key)),
    ]
    if subprotocol is not None:
        headers.append(("Sec-WebSocket-Protocol", subprotocol))
    return checked([*headers, *extra])


def checked(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return some headers.

    Raises:
        ValueError: One holds what would end it or can't be sent.
    """
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or _BAD_VALUE.search(value):
            raise ValueError(f"The header {name!r} can't be sent with {value!r}.")
    return headers


def response_bytes(status: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return an answer up to the end of its headers.

    Args:
        status: Such as ``SWITCHING``.
        headers: What follows the status.
    """
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _check_key(key: str) -> None:
    try:
        good = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        good = False
    if not good:
        raise HandshakeError(400, "Sec-WebSocket-Key must be 16 bytes in base64.")


def _subprotocols(header: str) -> tuple[str, ...]:
    names = tuple(_elements(header))
    if len(set(names)) != len(names) or not all(_TOKEN.fullmatch(name) for name in names):
        raise HandshakeError(400, "Sec-WebSocket-Protocol must be a list of distinct tokens.")
    return names


def _elements(header: str) -> list[str]:
    return [element for part in header.split(",") if (element := part.strip(" \t"))]
