"""A server's side of one websocket: bytes in, events and bytes out.

Call ``receive_data`` with whatever the socket gave, act on the events in order, then send what
``data_to_send`` returns. Nothing that a peer sends raises: a violation queues the fitting close
frame and ends in ``Closed``. The state moves by ``TRANSITIONS`` only:

* OPEN: both sides send.
* CLOSING: we sent a close frame and wait for the peer's; its messages are dropped.
* CLOSED: the peer's close frame came, or it broke the protocol; all further input is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from ws4redis.exceptions import InvalidPayload, PayloadTooBig, ProtocolError
from ws4redis.wire.close import CloseCode, decode_close, encode_close
from ws4redis.wire.deflate import compress_bound, inflate
from ws4redis.wire.frames import Header, Opcode, encode_frame, parse_header
from ws4redis.wire.masking import Utf8, Validator, unmask


@dataclass(frozen=True, slots=True)
class Message:
    """A complete message."""

    payload: bytes
    binary: bool
    size: int = field(default=0, compare=False)
    """Bytes of its payload as they came, which may be compressed."""


@dataclass(frozen=True, slots=True)
class Ping:
    """The peer asked for a pong, which is queued already."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """The peer answered a ping."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing more comes: with the peer's close code, or with ours if it broke the protocol."""

    code: int
    reason: str
    is_violation: bool = False
    """Whether the peer broke the protocol."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Pongs that are due before the event that follows; to be sent now."""

    data: bytes


BATCH = 2**16
"""Bytes of messages that are returned together."""

Event = Message | Ping | Pong | Answers | Closed


class State(Enum):
    """Where a websocket is in its life."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


TRANSITIONS = {
    State.OPEN: frozenset({State.CLOSING, State.CLOSED}),
    State.CLOSING: frozenset({State.CLOSED}),
    State.CLOSED: frozenset[State](),
}


class _Incoming:
    """A message of which a part came; takes no more memory than its bytes, however many parts.

    A compressed one is inflated when it is complete, as it would take a thousand times as much.
    """

    __slots__ = ("compressed", "data", "fragments", "size", "validator")

    def __init__(self, header: Header) -> None:
        self.data = bytearray()
        self.size = 0
        self.fragments = 0
        self.compressed = header.compressed
        self.validator: Validator | None = Utf8() if header.opcode == Opcode.TEXT else None

    def expect(self, length: int, limit: int, max_fragments: int) -> None:
        """Note the header of the next frame.

        Raises:
            PayloadTooBig: The message gets larger than the limit, or has too many fragments.
        """
        self.size += length
        self.fragments += 1
        if self.size > (compress_bound(limit) if self.compressed else limit):
            raise PayloadTooBig("The message is too big.")
        if self.fragments > max_fragments:
            raise PayloadTooBig("The message has too many fragments.")

    def add(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            InvalidPayload: The text can't become valid any more.
        """
        if not self.compressed:
            self._validate(data)
        self.data += data

    def finish(self, limit: int) -> Message:
        """Return the complete message.

        Args:
            limit: Bytes of the largest message.

        Raises:
            InvalidPayload: The text ends within a character, or can't be inflated.
            PayloadTooBig: It is larger than the limit when it is inflated.
        """
        payload = bytes(self.data)
        if self.compressed:
            payload = inflate(payload, limit)
            self._validate(payload)
        if self.validator is not None and not self.validator.is_complete:
            raise InvalidPayload("Text that ends within a character.")
        return Message(payload, self.validator is None, self.size)

    def _validate(self, data: bytes) -> None:
        if self.validator is not None and not self.validator.feed(data):
            raise InvalidPayload("Text that is not UTF-8.")


class _Partial:
    """A data frame whose payload has not all come."""

    __slots__ = ("fin", "mask", "missing")

    def __init__(self, header: Header) -> None:
        self.fin = header.fin
        self.mask = header.mask
        self.missing = header.length


class Protocol:
    """The codec of one websocket.

    Args:
        max_message_size: Bytes of the largest message that the peer may send.
        max_fragments: Frames that a message of the peer may be cut into.
        inflates: Whether it was agreed that the peer may compress its messages.
    """

    __slots__ = (
        "_buffer",
        "_incoming",
        "_inflates",
        "_max_fragments",
        "_max_message_size",
        "_output",
        "_partial",
        "_produced",
        "_state",
        "has_more",
    )

    def __init__(
        self, *, max_message_size: int = 2**20, max_fragments: int = 1024, inflates: bool = False
    ) -> None:
        self._max_message_size = max_message_size
        self._max_fragments = max_fragments
        self._inflates = inflates
        self._buffer = b""
        self._output: bytearray | None = None
        self._incoming: _Incoming | None = None
        self._partial: _Partial | None = None
        self._produced = 0
        self._state = State.OPEN
        self.has_more = False
        """Whether ``receive_data(b"")`` would return more, of bytes that came already."""

    @property
    def state(self) -> State:
        """Where the websocket is in its life."""
        return self._state

    def receive_data(self, data: bytes) -> list[Event]:
        """Take bytes from the peer, cut anywhere; return what they mean.

        Small bytes may mean large messages: after ``BATCH`` bytes of messages it stops, and
        ``has_more`` tells that the rest has to be asked for.
        """
        events: list[Event] = []
        self.has_more, self._produced = False, 0
        if self._state is State.CLOSED:
            return events
        try:
            self._parse(self._buffer + data if self._buffer else data, events)
        except ProtocolError as error:
            self._fail(error, events)
        return events

    def receive_eof(self) -> list[Event]:
        """Note that the peer's side of the connection ended."""
        if self._state is State.CLOSED:
            return []
        self._enter(State.CLOSED)
        return [Closed(CloseCode.ABNORMAL, "")]

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Queue a close frame; nothing happens if one was sent already.

        Raises:
            ValueError: The code may not be sent.
        """
        if self._state is State.OPEN:
            self._queue(encode_frame(Opcode.CLOSE, encode_close(code, reason)))
            self._enter(State.CLOSING)

    def data_to_send(self) -> bytes:
        """Take the bytes that are to be sent now."""
        data, self._output = self._output, None
        return bytes(data) if data is not None else b""

    def _queue(self, frame: bytes) -> None:
        # Not by adding bytes: a read full of pings would copy all of them again for each one.
        if self._output is None:
            self._output = bytearray()
        self._output += frame

    def _enter(self, state: State) -> None:
        if state not in TRANSITIONS[self._state]:
            raise RuntimeError(f"A websocket can't go from {self._state} to {state}.")
        self._state = state

    def _parse(self, data: bytes, events: list[Event]) -> None:
        position = 0
        while position < len(data) and self._state is not State.CLOSED:
            if self._partial is not None:
                position = self._continue(data, position, self._partial, events)
                continue
            if self._produced >= BATCH:
                self.has_more = True
                break
            header = parse_header(data[position : position + 14], may_compress=self._inflates)
            if header is None:
                break
            self._check(header)
            start = position + header.size
            end = start + header.length
            if end > len(data):
                if header.is_control:
                    break
                # A large payload is taken as it comes, so that bad text is noticed at once.
                self._partial = _Partial(header)
                position = start
                continue
            self._take(header, unmask(data[start:end], header.mask), events)
            position = end
        self._buffer = data[position:] if self._state is not State.CLOSED else b""

    def _check(self, header: Header) -> None:
        """Refuse a frame that can't stand here, or whose message becomes too big."""
        if header.is_control:
            return
        if header.opcode == Opcode.CONTINUATION:
            if self._incoming is None:
                raise ProtocolError(CloseCode.PROTOCOL_ERROR, "A continuation of nothing.")
        elif self._incoming is not None:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "A message within a message.")
        else:
            self._incoming = _Incoming(header)
        self._incoming.expect(header.length, self._max_message_size, self._max_fragments)

    def _continue(self, data: bytes, position: int, partial: _Partial, events: list[Event]) -> int:
        """Take more of a data frame; return the position after it."""
        piece = data[position : position + partial.missing]
        self._add(unmask(piece, partial.mask))
        partial.missing -= len(piece)
        turn = len(piece) % 4
        partial.mask = partial.mask[turn:] + partial.mask[:turn]
        if not partial.missing:
            self._partial = None
            self._finish(fin=partial.fin, events=events)
        return position + len(piece)

    def _take(self, header: Header, payload: bytes, events: list[Event]) -> None:
        """Take a complete frame."""
        if not header.is_control:
            self._add(payload)
            self._finish(fin=header.fin, events=events)
        elif header.opcode == Opcode.PING:
            if self._state is State.OPEN:
                self._queue(encode_frame(Opcode.PONG, payload))
            events.append(Ping(payload))
        elif header.opcode == Opcode.PONG:
            events.append(Pong(payload))
        else:
            self._receive_close(payload, events)

    def _add(self, payload: bytes) -> None:
        if self._incoming is not None:
            self._incoming.add(payload)

    def _finish(self, *, fin: bool, events: list[Event]) -> None:
        """Emit the message if this was its last frame."""
        if fin and self._incoming is not None:
            message, self._incoming = self._incoming.finish(self._max_message_size), None
            self._produced += len(message.payload)
            if self._state is State.OPEN:
                # Whatever answers the message comes behind the pongs of earlier pings.
                if self._output is not None:
                    events.append(Answers(self.data_to_send()))
                events.append(message)

    def _receive_close(self, payload: bytes, events: list[Event]) -> None:
        code, reason = decode_close(payload)
        # Section 5.5.1: the endpoint that did not close first answers with the same code.
        self.close(code)
        self._enter(State.CLOSED)
        events.append(Closed(code, reason))

    def _fail(self, error: ProtocolError, events: list[Event]) -> None:
        self.close(error.close_code, error.reason)
        self._enter(State.CLOSED)
        self._buffer = b""
        self._incoming = self._partial = None
        events.append(Closed(error.close_code, error.reason, is_violation=True))
