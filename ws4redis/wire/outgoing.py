"""A message on its way to any number of websockets; each form of it is made once."""

from __future__ import annotations

from base64 import b64encode
from enum import IntEnum
from functools import cache
from typing import Any, NamedTuple

from ws4redis.wire import sse, v1
from ws4redis.wire.deflate import Deflate
from ws4redis.wire.frames import Opcode, encode_frame


class Form(IntEnum):
    """What stands in a message besides its payload."""

    RAW = 0
    """Nothing."""
    V1 = 1
    """The head of the subprotocol ``ws4redis.v1``."""
    EVENT = 2
    """The same head, in an event of a stream, whose id is the position of the message."""
    BARE_EVENT = 3
    """The same in an event without an id, for a stream that has to tell several positions."""


EVENTS = frozenset({Form.EVENT, Form.BARE_EVENT})
"""The forms that are no frames of a websocket."""


class Encoding(NamedTuple):
    """How a websocket wants its messages."""

    binary: bool = False
    """All as binary; else those that are valid UTF-8 are text."""
    deflate: Deflate | None = None
    """How large ones are compressed; None if they are not."""
    form: Form = Form.RAW


PLAIN = Encoding()
get_encoding = cache(Encoding)
"""Returns the same object for all websockets that want messages alike."""


class Outgoing:
    """One message, and the frames of it that were asked for.

    Args:
        payload: The message, as Redis delivered it.
        channel: Where it was published, as clients see it; empty if that was nowhere.
        position: Where the channel is with it; empty if it has no history.
        is_persisted: Whether it is the last message of the channel, for one who is new.
        facility: Whose message it is, if it was published nowhere.
    """

    __slots__ = (
        "_frames",
        "_packed",
        "channel",
        "facility",
        "is_persisted",
        "payload",
        "position",
    )

    is_notice = False
    """Whether nobody published it, but we tell something by it."""

    def __init__(
        self,
        payload: bytes,
        channel: str = "",
        position: str = "",
        *,
        is_persisted: bool = False,
        facility: str = "",
    ) -> None:
        self.payload = payload
        self.channel = channel
        self.position = position
        self.is_persisted = is_persisted
        self.facility = facility
        self._frames: dict[Encoding, bytes] = {}
        self._packed: dict[tuple[Form, Deflate], bytes | None] = {}

    def frame(self, encoding: Encoding) -> bytes:
        """Return the frame for a websocket; the same bytes for all that want it alike."""
        frame = self._frames.get(encoding)
        if frame is None:
            frame = self._frames[encoding] = self._encode(encoding)
        return frame

    def _encode(self, encoding: Encoding) -> bytes:
        if encoding.form in EVENTS:
            return self._event(encoding.form)
        is_text = not encoding.binary and _is_text(self.payload)
        opcode = Opcode.TEXT if is_text else Opcode.BINARY
        data = self._data(encoding.form)
        packed = self._pack(encoding.form, encoding.deflate, data) if encoding.deflate else None
        if packed is None:
            return encode_frame(opcode, data)
        return encode_frame(opcode, packed, compressed=True)

    def _data(self, form: Form) -> bytes:
        if form is Form.RAW:
            return self.payload
        return self._message(self.payload)

    def _message(self, payload: bytes, **more: Any) -> bytes:
        return v1.message(
            self.channel,
            self.position,
            payload,
            is_persisted=self.is_persisted,
            facility=self.facility or None,
            **more,
        )

    def _event(self, form: Form) -> bytes:
        is_text = _is_text(self.payload)
        # Each kind of line end would come out as LF.
        fits = is_text and b"\r" not in self.payload
        more = {} if fits else {"base64": True, "text": is_text or None}
        payload = self.payload if fits else b64encode(self.payload)
        return sse.event(self._message(payload, **more), place=self._place(form))

    def _place(self, form: Form) -> str:
        if form is Form.BARE_EVENT or not self.position:
            return ""
        return sse.encode_places([(self.channel, self.position)])

    def _pack(self, form: Form, deflate: Deflate, data: bytes) -> bytes | None:
        if (form, deflate) not in self._packed:
            self._packed[form, deflate] = deflate.compress(data)
        return self._packed[form, deflate]


class Gap(Outgoing):
    """Tells those who can read it that messages of a channel are missing.

    Args:
        channel: As clients see it.
        position: Where it goes on; empty if it has no history.
    """

    __slots__ = ()

    is_notice = True

    def __init__(self, channel: str, position: str = "") -> None:
        super().__init__(b"", channel, position)

    def _encode(self, encoding: Encoding) -> bytes:
        if encoding.form is Form.RAW:
            return b""
        told = {"channel": self.channel, "position": self.position or None}
        if encoding.form in EVENTS:
            return sse.event(v1.head("gap", **told), name="gap", place=self._place(encoding.form))
        return v1.control("gap", **told)


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
