"""The codec of ``websockets`` as a foreign judge of ours, and where the two differ for a reason."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from websockets.client import ClientProtocol
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from ws4redis.wire.protocol import Answers, Closed, Message, Ping, Pong, Protocol

_SILENT = logging.getLogger("tests.fuzz.judge")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_SILENT.setLevel(logging.CRITICAL)
_ADDRESS = parse_uri("ws://test/")
_KINDS = {Message: "message", Ping: "ping", Pong: "pong"}
_CONTROL = {Opcode.PING: "ping", Opcode.PONG: "pong"}
_TOO_BIG = "The message is too big."
_LONG_FORMS = {
    "A length that is not written in its shortest form.",
    "A control frame of more than 125 bytes.",
}

Event = tuple[str, bytes, bool]
"""A kind, a payload, and whether a message is binary."""


@dataclass(slots=True)
class Reading:
    """What a codec made of a stream."""

    events: list[Event] = field(default_factory=list)
    code: int | None = None
    """The code of the end; None if the stream may go on."""
    reason: str = ""
    is_failure: bool = False
    """Whether the stream broke the protocol; only known of the foreign codec."""


def ours(data: bytes, limit: int) -> Reading:
    """Return what our codec reads."""
    reading = Reading()
    for event in Protocol(max_message_size=limit).receive_data(data):
        if isinstance(event, Closed):
            reading.code, reading.reason = event.code, event.reason
        elif not isinstance(event, Answers):
            binary = isinstance(event, Message) and event.binary
            reading.events.append((_KINDS[type(event)], event.payload, binary))
    return reading


def theirs(data: bytes, limit: int | None) -> Reading:
    """Return what the server of ``websockets`` reads."""
    codec = ServerProtocol(state=State.OPEN, max_size=limit, logger=_SILENT)
    codec.receive_data(data)
    reading = Reading()
    if codec.parser_exc is not None:
        assert codec.close_sent is not None
        reading.code, reading.reason = codec.close_sent.code, str(codec.parser_exc)
        reading.is_failure = True
    elif codec.close_rcvd is not None:
        reading.code, reading.reason = codec.close_rcvd.code, codec.close_rcvd.reason
    return _with_messages(reading, codec.events_received())


def client_reads(data: bytes) -> list[tuple[int, bytes, bool]]:
    """Return opcode, payload and final bit of all frames that a foreign client reads from us."""
    codec = ClientProtocol(_ADDRESS, state=State.OPEN, max_size=None, logger=_SILENT)
    codec.receive_data(data)
    assert codec.parser_exc is None, f"A foreign client refuses what we send: {codec.parser_exc}"
    frames = [event for event in codec.events_received() if isinstance(event, Frame)]
    return [(int(frame.opcode), bytes(frame.data), frame.fin) for frame in frames]


def disagreement(data: bytes, limit: int) -> str | None:
    """Return how the two codecs differ without a reason; None if they agree."""
    left = ours(data, limit)
    if any(len(payload) > limit for kind, payload, _ in left.events if kind == "message"):
        return f"A message over the limit: {left}"
    is_too_big = left.code == 1009 and left.reason == _TOO_BIG
    # Theirs counts control frames as a part of the message: it is asked about messages only.
    right = theirs(data, limit if is_too_big else None)
    good = right.code == 1009 if is_too_big else _are_alike(left, right)
    return None if good else f"ours {left}, theirs {right}"


def _are_alike(left: Reading, right: Reading) -> bool:
    if left.events == right.events and left.code == right.code:
        return right.is_failure or left.reason == right.reason
    return _is_justified(left, right)


def _is_justified(left: Reading, right: Reading) -> bool:
    """Know the differences that are meant.

    * We refuse a length that is not in its shortest form (section 5.2); they read on.
    * We refuse a header, or text, before the rest of its frame has come; they wait for it.
    * Of a close frame with a bad code and a bad reason, we name the code, they the reason.
    * They refuse a close frame between fragments, which section 5.4 allows.
    """
    if left.reason in _LONG_FORMS:
        return right.events[: len(left.events)] == left.events
    if left.events != right.events:
        return False
    if right.code is None:
        return left.code in (1002, 1007)
    if right.code == 1007:
        return left.reason == "A close code that may not be sent."
    return right.reason == "incomplete fragmented message"


def _with_messages(reading: Reading, frames: Sequence[object]) -> Reading:
    """Put the frames together; they leave that, and the check of text, to another layer."""
    text, parts = False, b""
    for frame in frames:
        assert isinstance(frame, Frame)
        if frame.opcode in _CONTROL:
            reading.events.append((_CONTROL[frame.opcode], bytes(frame.data), False))
        elif frame.opcode in DATA_OPCODES:
            if frame.opcode is not Opcode.CONT:
                text, parts = frame.opcode is Opcode.TEXT, b""
            parts += frame.data
            if text and not _may_become_text(parts, frame.fin):
                return Reading(reading.events, 1007, "bad text", True)
            if frame.fin:
                reading.events.append(("message", parts, not text))
    return reading


def _may_become_text(data: bytes, is_complete: bool) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return not is_complete and error.reason == "unexpected end of data"
    return True
