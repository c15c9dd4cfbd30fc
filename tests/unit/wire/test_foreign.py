"""Our codec and that of ``websockets`` judge each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.protocol import State as TheirState
from websockets.uri import parse_uri

from tests.fuzz.judge import client_reads, disagreement
from tests.fuzz.targets import protocol as check_promises
from tests.unit.wire import client_frame
from ws4redis.wire.close import CloseCode, may_be_received
from ws4redis.wire.outgoing import Outgoing, get_encoding
from ws4redis.wire.protocol import Closed, Message, Ping, Pong, Protocol

LIMIT = 1000
LARGE = st.integers(0, 70_000).map(lambda size: b"\xc3\xa4" * (size // 2))
payloads = st.one_of(st.binary(max_size=200), st.text(max_size=50).map(str.encode), LARGE)
codes = st.one_of(st.sampled_from(CloseCode), st.integers(3000, 4999)).filter(may_be_received)
reasons = st.text(max_size=200)

unhurried = settings(deadline=None)
"""Other tests may keep the machine busy."""


@st.composite
def hostile_frames(draw: st.DrawFn) -> bytes:
    """A frame with any header: any opcode and bits, any length, with or without a mask."""
    text = st.sampled_from([b"ok", "ä€😀".encode(), "€".encode()[:2], b"\xff", b"\xed\xa0\x80"])
    telling = [999, 1000, 1004, 1005, 1006, 1014, 1015, 1016, 2999, 3000, 4999, 5000]
    code = st.sampled_from(telling) | st.integers(0, 6000)
    close = code.map(lambda code: code.to_bytes(2, "big"))
    payload = draw(st.one_of(text, st.binary(max_size=130), close, st.just(bytes(600))))
    opcode = draw(st.sampled_from([0, 0, 1, 1, 2, 8, 9, 10]) | st.integers(0, 15))
    data = client_frame(
        opcode,
        payload,
        fin=draw(st.booleans()),
        rsv=draw(st.sampled_from([0] * 9) | st.integers(0, 7)),
        mask=draw(st.sampled_from([b"\x01\x02\x03\x04"] * 9 + [None])),
    )
    wrong_length = draw(st.none() | st.none() | st.sampled_from([126, 127, 5]))
    return data if wrong_length is None else bytes([data[0], 0x80 | wrong_length]) + data[2:]


@unhurried
@given(st.lists(hostile_frames(), max_size=6).map(b"".join))
@example(client_frame(1, b"a", fin=False) + client_frame(8, b"\x03\xe8"))
@example(client_frame(8, b"\x00\x00\xff"))
@example(b"\x89\xfe\x00\x03\x01\x02\x03\x04abc")
def test_hostile_streams_mean_the_same_to_both_wherever_they_are_cut(data: bytes) -> None:
    check_promises(data)


@unhurried
@given(st.lists(hostile_frames(), max_size=6).map(b"".join))
def test_both_codecs_agree_with_a_limit_of_any_size(data: bytes) -> None:
    for limit in (0, 1, 125, 2**20):
        difference = disagreement(data, limit)
        assert difference is None, difference


@unhurried
@given(payloads, st.booleans())
def test_they_read_the_messages_that_we_write(payload: bytes, binary: bool) -> None:
    is_text = not binary and payload.decode(errors="ignore").encode() == payload
    opcode = Opcode.TEXT if is_text else Opcode.BINARY
    assert client_reads(Outgoing(payload).frame(get_encoding(binary))) == [(opcode, payload, True)]


@unhurried
@given(codes, reasons)
def test_they_read_the_close_that_we_write_and_we_their_answer(code: int, reason: str) -> None:
    ours, theirs = Protocol(), client()
    ours.close(code, reason)
    theirs.receive_data(ours.data_to_send())
    assert theirs.close_rcvd is not None
    assert theirs.close_rcvd.code == code
    assert reason.startswith(theirs.close_rcvd.reason)
    assert [event.code for event in read(ours, theirs) if isinstance(event, Closed)] == [code]


Write = Callable[[ClientProtocol], Any]


def write_message(payload: bytes, binary: bool) -> tuple[Write, Message]:
    def write(codec: ClientProtocol) -> None:
        (codec.send_binary if binary else codec.send_text)(payload)

    return write, Message(payload, binary)


def write_fragments(parts: list[bytes]) -> tuple[Write, Message]:
    def write(codec: ClientProtocol) -> None:
        codec.send_binary(parts[0], fin=len(parts) == 1)
        for number, part in enumerate(parts[1:], 2):
            codec.send_continuation(part, fin=number == len(parts))

    return write, Message(b"".join(parts), True)


controls = st.binary(max_size=125)
actions = st.one_of(
    st.builds(write_message, st.binary(max_size=300), st.just(True)),
    st.builds(write_message, st.text(max_size=70_000).map(str.encode), st.just(False)),
    st.builds(write_fragments, st.lists(st.binary(max_size=200), min_size=1, max_size=5)),
    controls.map(lambda data: (lambda codec: codec.send_ping(data), Ping(data))),
    controls.map(lambda data: (lambda codec: codec.send_pong(data), Pong(data))),
)


@unhurried
@given(st.lists(actions, max_size=6), st.none() | st.tuples(codes, st.text(max_size=30)))
def test_we_read_what_they_write_and_they_our_answers(
    written: list[tuple[Write, Any]], end: tuple[int, str] | None
) -> None:
    ours, theirs = Protocol(), client()
    expected = [event for _, event in written]
    for write, _ in written:
        write(theirs)
    if end is not None:
        theirs.send_close(*end)
        expected.append(Closed(*end))
    got, answers = traffic(ours, theirs)
    assert got == expected
    theirs.receive_data(answers)
    pongs = [one.data for one in theirs.events_received() if one.opcode is Opcode.PONG]  # type: ignore[union-attr]
    assert pongs == [event.payload for event in expected if isinstance(event, Ping)]
    assert theirs.parser_exc is None
    if end is not None:
        assert theirs.close_rcvd is not None
        assert theirs.close_rcvd.code == end[0]


def client() -> ClientProtocol:
    return ClientProtocol(parse_uri("ws://test/"), state=TheirState.OPEN)


def read(ours: Protocol, theirs: ClientProtocol) -> list[Any]:
    return [event for data in theirs.data_to_send() for event in ours.receive_data(data)]


def traffic(ours: Protocol, theirs: ClientProtocol) -> tuple[list[Any], bytes]:
    """Return what we read, and all that we answer."""
    events, answers = [], b""
    for data in theirs.data_to_send():
        events += ours.receive_data(data)
        answers += ours.data_to_send()
    return events, answers
