"""What a client sends, by hand."""

from __future__ import annotations

import struct

from ws4redis.wire.masking import pure_unmask

MASK = b"\x01\x02\x03\x04"


def client_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = MASK
) -> bytes:
    """Return a frame as a client sends it; without a mask if that is None."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    masked = 0x80 if mask is not None else 0
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, masked | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, masked | 126, size)
    else:
        head = struct.pack("!BBQ", first, masked | 127, size)
    return head + (mask + pure_unmask(payload, mask) if mask is not None else payload)
