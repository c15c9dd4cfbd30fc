"""Unmasks payloads and validates UTF-8, by wsaccel where it is installed, else in plain Python."""

from __future__ import annotations

import codecs
from typing import Protocol


class Validator(Protocol):
    """Validates text that comes in pieces."""

    def feed(self, data: bytes) -> bool:
        """Take the next piece; return whether the text can still become valid."""

    @property
    def is_complete(self) -> bool:
        """Whether the text may end here."""


def pure_unmask(data: bytes, mask: bytes) -> bytes:
    """Return the payload behind a mask of four bytes (RFC 6455, section 5.3)."""
    if not data:
        return b""
    length = len(data)
    repeated = (mask * (length // 4 + 1))[:length]
    number = int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")
    return number.to_bytes(length, "little")


class PureValidator:
    """Validates by the decoder of the standard library, with one rule of its own."""

    __slots__ = ("_decoder",)

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def feed(self, data: bytes) -> bool:
        """See ``Validator.feed``."""
        try:
            self._decoder.decode(data)
        except UnicodeDecodeError:
            return False
        pending = self._decoder.getstate()[0]
        # The decoder waits for the third byte of a surrogate, which can't become valid.
        return not (pending[:1] == b"\xed" and pending[1:] >= b"\xa0")

    @property
    def is_complete(self) -> bool:
        """See ``Validator.is_complete``."""
        return not self._decoder.getstate()[0]


try:
    from wsaccel.utf8validator import Utf8Validator
    from wsaccel.xormask import XorMaskerSimple
except ImportError:  # there is no wheel for the newest Python yet
    unmask = pure_unmask
    Utf8: type[Validator] = PureValidator
else:

    def accelerated_unmask(data: bytes, mask: bytes) -> bytes:
        """Return the payload behind a mask of four bytes (RFC 6455, section 5.3)."""
        return bytes(XorMaskerSimple(mask).process(data))

    class AcceleratedValidator:
        """Validates by wsaccel's state machine."""

        __slots__ = ("_complete", "_validator")

        def __init__(self) -> None:
            self._validator = Utf8Validator()
            self._complete = True

        def feed(self, data: bytes) -> bool:
            """See ``Validator.feed``."""
            valid, self._complete, _, _ = self._validator.validate(data)
            return bool(valid)

        @property
        def is_complete(self) -> bool:
            """See ``Validator.is_complete``."""
            return self._complete

    unmask = accelerated_unmask
    Utf8 = AcceleratedValidator
