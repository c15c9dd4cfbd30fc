"""A message on its way to any number of websockets; each form of it is made once."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from ws4redis.wire.deflate import Deflate
from ws4redis.wire.frames import Opcode, encode_frame


class Encoding(NamedTuple):
    """How a websocket wants its messages."""

    binary: bool = False
    """All as binary; else those that are valid UTF-8 are text."""
    deflate: Deflate | None = None
    """How large ones are compressed; None if they are not."""


PLAIN = Encoding()
get_encoding = cache(Encoding)
"""Returns the same object for all websockets that want messages alike."""


class Outgoing:
    """One message, and the frames of it that were asked for.

    Args:
        payload: The message, as Redis delivered it.
    """

    __slots__ = ("_frames", "_packed", "payload")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self._frames: dict[Encoding, bytes] = {}
        self._packed: dict[Deflate, bytes | None] = {}

    def frame(self, encoding: Encoding) -> bytes:
        """Return the frame for a websocket; the same bytes for all that want it alike."""
        frame = self._frames.get(encoding)
        if frame is None:
            frame = self._frames[encoding] = self._encode(encoding)
        return frame

    def _encode(self, encoding: Encoding) -> bytes:
        is_text = not encoding.binary and _is_text(self.payload)
        opcode = Opcode.TEXT if is_text else Opcode.BINARY
        packed = self._pack(encoding.deflate) if encoding.deflate is not None else None
        if packed is None:
            return encode_frame(opcode, self.payload)
        return encode_frame(opcode, packed, compressed=True)

    def _pack(self, deflate: Deflate) -> bytes | None:
        if deflate not in self._packed:
            self._packed[deflate] = deflate.compress(self.payload)
        return self._packed[deflate]


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
