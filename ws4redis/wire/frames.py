"""One frame of RFC 6455, section 5.2: its header, read and written."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from ws4redis.exceptions import ProtocolError
from ws4redis.wire.close import CloseCode

MAX_CONTROL_PAYLOAD = 125
"""Bytes, section 5.5."""


class Opcode(IntEnum):
    """What a frame is for (section 11.8)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


_OPCODES = frozenset(Opcode)
_FIN, _RSV, _OPCODE, _CONTROL, _MASKED, _LENGTH = 0x80, 0x70, 0x0F, 0x08, 0x80, 0x7F
_COMPRESSED = 0x40


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a frame from a client."""

    fin: bool
    opcode: int
    length: int
    """Bytes of the payload."""
    mask: bytes
    size: int
    """Bytes of the header itself."""
    compressed: bool = False
    """Whether the message that starts here is compressed (RFC 7692, section 6)."""

    @property
    def is_control(self) -> bool:
        """Whether the frame is a close, ping or pong."""
        return bool(self.opcode & _CONTROL)


def encode_frame(
    opcode: int, payload: bytes, *, fin: bool = True, compressed: bool = False
) -> bytes:
    """Return a frame as a server sends it: unmasked."""
    first = (_FIN if fin else 0) | (_COMPRESSED if compressed else 0) | opcode
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65536:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


def parse_header(data: bytes, *, may_compress: bool = False) -> Header | None:
    """Return the header at the start of ``data``; None if it is not complete yet.

    What is wrong in the first two bytes is found before the rest has come.

    Args:
        data: What came.
        may_compress: Whether it was agreed that messages may be compressed.

    Raises:
        ProtocolError: A client may not send this.
    """
    if len(data) < 2:
        return None
    first, second = data[0], data[1]
    _check_start(first, second, may_compress=may_compress)
    length, size = second & _LENGTH, 6
    if length == 126:
        size = 8
    elif length == 127:
        size = 14
    if size > 6:
        if len(data) < size - 4:
            return None
        length = _long_length(data[2 : size - 4])
    if len(data) < size:
        return None
    mask, compressed = data[size - 4 : size], bool(first & _COMPRESSED)
    return Header(bool(first & _FIN), first & _OPCODE, length, mask, size, compressed)


def _check_start(first: int, second: int, *, may_compress: bool) -> None:
    starts_message = first & _OPCODE in (Opcode.TEXT, Opcode.BINARY)
    if first & _RSV & ~(_COMPRESSED if may_compress and starts_message else 0):
        raise _violation("A reserved bit is set.")
    if first & _OPCODE not in _OPCODES:
        raise _violation("An unknown opcode.")
    if not second & _MASKED:
        raise _violation("A frame that is not masked.")
    if first & _CONTROL:
        if not first & _FIN:
            raise _violation("A control frame in fragments.")
        if second & _LENGTH > MAX_CONTROL_PAYLOAD:
            raise _violation("A control frame of more than 125 bytes.")


def _long_length(field: bytes) -> int:
    length = int.from_bytes(field, "big")
    minimum = 126 if len(field) == 2 else 65536
    if length < minimum:
        raise _violation("A length that is not written in its shortest form.")
    if length >> 63:
        raise _violation("A length of more than 63 bits.")
    return length


def _violation(reason: str) -> ProtocolError:
    return ProtocolError(CloseCode.PROTOCOL_ERROR, reason)
