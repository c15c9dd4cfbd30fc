"""The address of a client whose request came through proxies.

A proxy adds the address of whoever talks to it at the right end of a header. So the header is read
from the right, and only as long as the address read so far is that of a trusted proxy: what stands
further left was written by somebody else, perhaps by the client itself.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNIX = "unix"
"""Stands for whoever talks through a unix socket, which has no address."""
FORWARDED = "Forwarded"
"""RFC 7239; the other header is a plain list of addresses."""


def client_address(environ: Mapping[str, Any], trusted: Sequence[str], header: str) -> str:
    """Return the address of the client: an IP address, or ``unix``.

    Args:
        environ: The WSGI environment of the request.
        trusted: Networks of the proxies whose header is believed, and ``unix``.
        header: The header that they write.
    """
    proxies = _networks(tuple(trusted))
    address = _peer(environ.get("REMOTE_ADDR", ""))
    value = environ.get(f"HTTP_{header.upper().replace('-', '_')}", "")
    hops = _nodes(value) if header == FORWARDED else value.split(",")
    for hop in reversed(hops):
        if not _is_trusted(address, proxies):
            break
        earlier = _parse(hop)
        if earlier is None:
            break
        address = earlier
    return UNIX if address is None else str(address)


@functools.lru_cache(maxsize=1024)
def _peer(text: str) -> Address | None:
    # Whoever comes once comes again; behind a proxy, all are the same.
    return _parse(text)


@functools.lru_cache(maxsize=8)
def _networks(names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(name if name == UNIX else ipaddress.ip_network(name) for name in names)


def _is_trusted(address: Address | None, proxies: Sequence[Any]) -> bool:
    if address is None:
        return UNIX in proxies
    return any(address in network for network in proxies if network != UNIX)


def _nodes(value: str) -> list[str]:
    """Return the values of ``for``, one for each element of the header (RFC 7239, section 4).

    A header with an open quote has none: a client may have opened it to hide what follows. That is
    asked of the whole header first, as each open quote is searched for its end up to the end.
    """
    if not _piece("").fullmatch(value):
        return []
    return [_node(element) for element in _split(value, ",")]


def _node(element: str) -> str:
    for pair in _split(element, ";"):
        name, _, value = pair.strip().partition("=")
        if name.lower() == "for":
            return value.strip('"')
    return ""


def _split(text: str, separator: str) -> list[str]:
    """Split at a separator, but not within quotes."""
    piece = _piece(separator)
    return [found.group() for found in piece.finditer(text) if found.group()]


@functools.cache
def _piece(separator: str) -> re.Pattern[str]:
    return re.compile(rf'(?:[^{separator}"]|"(?:\\.|[^"\\])*")+')


def _parse(text: str) -> Address | None:
    """Read an address with or without a port; None if it is none, such as ``unknown``."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # uWSGI's peer on a unix socket is 0.0.0.0, which is nobody's address.
    if address.is_unspecified:
        return None
    # The zone of an address of a link may be any text.
    if getattr(address, "scope_id", None) is not None:
        return None
    return getattr(address, "ipv4_mapped", None) or address
