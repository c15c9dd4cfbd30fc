"""permessage-deflate (RFC 7692): its negotiation, and messages made small and large again.

Neither side takes anything over from one message to the next. So a message that goes to many is
compressed once for all whose windows are equal, and a websocket that is idle keeps no state.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from ws4redis.exceptions import InvalidPayload, PayloadTooBig
from ws4redis.wire.extensions import Extension

NAME = "permessage-deflate"
MAX_WINDOW_BITS = 15
WINDOWS = (15, 12, 9)
"""Windows that we compress for; a client that asks for another one gets the next smaller. Strangers
could make each message be compressed seven times otherwise."""
LEVEL = 1
"""Four times as fast as zlib's default for large messages, and a third larger at the worst."""
TAIL = b"\x00\x00\xff\xff"
"""Ends each flush; not sent (section 7.2.1)."""

_VALUES: Mapping[str, Container[str | None]] = {
    "server_no_context_takeover": (None,),
    "client_no_context_takeover": (None,),
    # 8 is valid too, but zlib's raw deflate can't do it.
    "server_max_window_bits": tuple(str(bits) for bits in range(9, 16)),
    # We read them all with the largest window.
    "client_max_window_bits": (None, *(str(bits) for bits in range(8, 16))),
}
"""The parameters of an offer, and their values that can be met (section 7.1)."""


class Deflate:
    """How messages to a client are compressed; the same object for all clients that agree.

    Args:
        window_bits: Base-2 logarithm of the window's bytes, 9 to 15.
        threshold: Bytes of the smallest message that is compressed.
    """

    __slots__ = ("_threshold", "_window_bits")

    def __init__(self, window_bits: int, threshold: int) -> None:
        self._window_bits = window_bits
        self._threshold = threshold

    def compress(self, payload: bytes) -> bytes | None:
        """Return the payload of a compressed frame; None if the message is better left alone."""
        if len(payload) < self._threshold:
            return None
        compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -self._window_bits)
        packed = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return packed[: -len(TAIL)] if len(packed) < len(payload) else None


get_deflate = functools.cache(Deflate)
"""Returns the same object for all clients that agree on the same."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What is agreed with one client."""

    deflate: Deflate
    header: str
    """Value of ``Sec-WebSocket-Extensions`` in the answer."""


def agree(offers: Iterable[Extension], threshold: int) -> Agreement | None:
    """Accept the first offer that can be met (section 7.1); None if there is none.

    Args:
        offers: The client's, its preferred one first.
        threshold: Bytes of the smallest message that is compressed.
    """
    for offer in offers:
        if offer.name == NAME and (agreement := _accept(offer, threshold)):
            return agreement
    return None


def compress_bound(length: int) -> int:
    """Return the bytes that so many bytes take at most when a peer compresses them.

    What can't be made smaller is stored in blocks with five bytes each; a peer may make small ones.
    """
    return length + length // 64 + 64


def _accept(offer: Extension, threshold: int) -> Agreement | None:
    parameters = dict(offer.parameters)
    is_good = all(value in _VALUES.get(name, ()) for name, value in offer.parameters)
    if not is_good or len(parameters) < len(offer.parameters):
        return None
    asked = parameters.get("server_max_window_bits")
    bits = next(window for window in WINDOWS if window <= int(asked or MAX_WINDOW_BITS))
    answer = [NAME, "server_no_context_takeover", "client_no_context_takeover"]
    if asked is not None:
        answer.append(f"server_max_window_bits={bits}")
    return Agreement(get_deflate(bits, threshold), "; ".join(answer))


def inflate(data: bytes, limit: int) -> bytes:
    """Return what the payload of a compressed message stands for.

    Args:
        data: The payload, whole: a message that never ends costs no more than its bytes.
        limit: Bytes of the largest message.

    Raises:
        PayloadTooBig: The message is larger than allowed.
        InvalidPayload: This is not deflated data.
    """
    stream = zlib.decompressobj(-MAX_WINDOW_BITS)
    try:
        inflated = stream.decompress(data + TAIL, limit + 1)
    except zlib.error:
        raise InvalidPayload("Data that can't be inflated.") from None
    if len(inflated) > limit:
        raise PayloadTooBig("The message is too big.")
    # A final block is followed by an empty byte (section 7.2.3.4), our tail, and nothing else.
    if stream.unused_data not in (b"", b"\x00" + TAIL, TAIL):
        raise InvalidPayload("Data behind its end.")
    return inflated
