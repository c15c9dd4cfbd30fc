"""The header in which a client offers extensions (RFC 6455, section 9.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ws4redis.exceptions import HandshakeError

TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
"""RFC 7230, section 3.2.6."""

# What stands in quotes must be a token too, so it holds no comma and no semicolon.
_PARAMETER = re.compile(rf'({TOKEN})(?:[ \t]*=[ \t]*(?:({TOKEN})|"({TOKEN})"))?')


@dataclass(frozen=True, slots=True)
class Extension:
    """One offer of a client."""

    name: str
    parameters: tuple[tuple[str, str | None], ...] = ()
    """Names and values, as they came; a name may come twice."""


def parse_extensions(header: str) -> tuple[Extension, ...]:
    """Return the offers of a client, its preferred one first.

    Raises:
        HandshakeError: The header is malformed.
    """
    return tuple(_extension(offer) for offer in header.split(",") if offer.strip(" \t"))


def _extension(offer: str) -> Extension:
    (name, value), *parameters = [_parameter(part.strip(" \t")) for part in offer.split(";")]
    if value is not None:
        raise _malformed()
    return Extension(name, tuple(parameters))


def _parameter(part: str) -> tuple[str, str | None]:
    found = _PARAMETER.fullmatch(part)
    if found is None:
        raise _malformed()
    name, value, quoted = found.groups()
    return name, value if quoted is None else quoted


def _malformed() -> HandshakeError:
    return HandshakeError(400, "Sec-WebSocket-Extensions is malformed.")
