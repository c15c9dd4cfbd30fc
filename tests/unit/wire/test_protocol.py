from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.protocol import State as ClientState
from websockets.uri import parse_uri

from tests.unit.wire import client_frame
from ws4redis.wire import masking, protocol
from ws4redis.wire.outgoing import PLAIN, Outgoing
from ws4redis.wire.protocol import (
    TRANSITIONS,
    Answers,
    Closed,
    Message,
    Ping,
    Pong,
    Protocol,
    State,
)

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


@pytest.fixture(params=["accelerated", "pure"], autouse=True)
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pure":
        monkeypatch.setattr(protocol, "unmask", masking.pure_unmask)
        monkeypatch.setattr(protocol, "Utf8", masking.PureValidator)


def close_code(sent: bytes) -> int:
    assert sent[0] == 0x88
    return int.from_bytes(sent[2:4], "big")


def test_messages_arrive_with_their_type() -> None:
    codec = Protocol()
    data = client_frame(TEXT, "grüße".encode()) + client_frame(BINARY, b"\xff")
    assert codec.receive_data(data) == [
        Message("grüße".encode(), False),
        Message(b"\xff", True),
    ]
    assert codec.data_to_send() == b""


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_an_empty_message_is_a_message(opcode: int) -> None:
    assert Protocol().receive_data(client_frame(opcode)) == [Message(b"", opcode == BINARY)]


def test_fragments_with_a_ping_between_them_are_one_message() -> None:
    codec = Protocol()
    data = client_frame(TEXT, b"fra", fin=False) + client_frame(PING, b"there?")
    data += client_frame(0, b"gme", fin=False) + client_frame(0, b"nt")
    # The pong is due before whatever answers the message.
    pong = Answers(b"\x8a\x06there?")
    assert codec.receive_data(data) == [Ping(b"there?"), pong, Message(b"fragment", False)]
    assert codec.data_to_send() == b""


def test_every_ping_is_answered_in_order() -> None:
    codec = Protocol()
    codec.receive_data(b"".join(client_frame(PING, b"%d" % number) for number in range(10)))
    assert codec.data_to_send() == b"".join(b"\x8a\x01%d" % number for number in range(10))


def test_an_unasked_pong_is_harmless() -> None:
    codec = Protocol()
    assert codec.receive_data(client_frame(PONG, b"x")) == [Pong(b"x")]
    assert codec.state is State.OPEN


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (client_frame(TEXT, b"x", mask=None), 1002),
        (client_frame(TEXT, b"x", rsv=4), 1002),
        (client_frame(3, b"x"), 1002),
        (client_frame(PING, b"x", fin=False), 1002),
        (client_frame(0, b"x"), 1002),
        (client_frame(TEXT, b"x", fin=False) + client_frame(TEXT, b"y"), 1002),
        (client_frame(CLOSE, b"\x03"), 1002),
        (client_frame(CLOSE, b"\x03\xed"), 1002),
        (client_frame(CLOSE, b"\x03\xe8\xff"), 1007),
        (client_frame(TEXT, b"\xff"), 1007),
        (client_frame(TEXT, "ä".encode()[:1]), 1007),
        (client_frame(TEXT, b"ok", fin=False) + client_frame(0, b"\xc3", fin=True), 1007),
        (client_frame(BINARY, bytes(1001)), 1009),
        (client_frame(BINARY, bytes(600), fin=False) + client_frame(0, bytes(600)), 1009),
    ],
)
def test_a_violation_is_answered_with_the_right_code_and_ends_it(data: bytes, code: int) -> None:
    codec = Protocol(max_message_size=1000)
    events = codec.receive_data(data)
    assert isinstance(events[-1], Closed)
    assert events[-1].code == code
    assert close_code(codec.data_to_send()) == code
    assert codec.receive_data(client_frame(TEXT, b"more")) == []
    assert codec.receive_eof() == []
    assert codec.state is State.CLOSED


def test_a_message_that_is_too_big_is_refused_before_it_comes() -> None:
    codec = Protocol(max_message_size=1000)
    events = codec.receive_data(client_frame(BINARY, bytes(5000))[:8])
    assert [type(event) for event in events] == [Closed]


def test_bad_text_is_refused_before_its_frame_is_complete() -> None:
    codec = Protocol()
    frame = client_frame(TEXT, b"good \xff and a long rest" * 10)
    assert codec.receive_data(frame[:12]) == []
    assert codec.receive_data(frame[12:20])[-1] == Closed(
        1007, "Text that is not UTF-8.", is_violation=True
    )


def test_the_close_of_the_peer_is_answered_with_its_code() -> None:
    codec = Protocol()
    assert codec.receive_data(client_frame(CLOSE, b"\x0f\xa0bye")) == [Closed(4000, "bye")]
    assert codec.data_to_send() == b"\x88\x02\x0f\xa0"


def test_a_close_without_code_is_answered_without_code() -> None:
    codec = Protocol()
    assert codec.receive_data(client_frame(CLOSE)) == [Closed(1005, "")]
    assert codec.data_to_send() == b"\x88\x00"


def test_after_our_close_messages_are_dropped_until_the_peer_closes() -> None:
    codec = Protocol()
    codec.close(1001, "restart")
    codec.close(1000)
    assert codec.data_to_send() == b"\x88\x09\x03\xe9restart"
    data = client_frame(TEXT, b"late") + client_frame(PING, b"late")
    assert codec.receive_data(data) == [Ping(b"late")]
    assert codec.receive_data(client_frame(CLOSE, b"\x03\xe9")) == [Closed(1001, "")]
    assert codec.data_to_send() == b""


def test_an_end_without_close_is_1006() -> None:
    codec = Protocol()
    assert codec.receive_eof() == [Closed(1006, "")]
    assert codec.receive_eof() == []


@pytest.mark.parametrize("old", State)
@pytest.mark.parametrize("new", State)
def test_states_change_only_forwards(old: State, new: State) -> None:
    order = [State.OPEN, State.CLOSING, State.CLOSED]
    assert (new in TRANSITIONS[old]) == (order.index(new) > order.index(old))


def test_a_move_that_is_not_in_the_table_is_an_error() -> None:
    codec = Protocol()
    codec.receive_eof()
    with pytest.raises(RuntimeError, match="CLOSED"):
        codec._enter(State.OPEN)


frames = st.one_of(
    st.builds(client_frame, st.sampled_from([TEXT, BINARY, PING]), st.binary(max_size=130)),
    st.text(max_size=200).map(lambda text: client_frame(TEXT, text.encode())),
    st.binary(max_size=70_000).map(lambda data: client_frame(BINARY, data)),
    st.builds(
        lambda parts: b"".join(
            client_frame(TEXT if not index else 0, part, fin=index == len(parts) - 1)
            for index, part in enumerate(parts)
        ),
        st.lists(st.text(max_size=5).map(str.encode), min_size=1, max_size=5),
    ),
    st.just(client_frame(CLOSE, b"\x03\xe8done")),
)


@given(st.lists(frames, max_size=6).map(b"".join), st.lists(st.integers(0, 2000), max_size=20))
def test_where_the_network_cuts_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    whole, pieces = Protocol(), Protocol()
    expected = whole.receive_data(data)
    got: list[Any] = []
    position = 0
    for cut in [*sorted(cuts), len(data)]:
        got += pieces.receive_data(data[position:cut])
        position = max(position, cut)
    assert got == expected
    assert pieces.data_to_send() == whole.data_to_send()
    assert pieces.state is whole.state


@given(st.lists(frames, max_size=4).map(b"".join), st.integers(0, 500), st.integers(0, 255))
def test_nothing_that_a_peer_sends_raises(data: bytes, position: int, byte: int) -> None:
    damaged = data[:position] + bytes([byte]) + data[position + 1 :]
    codec = Protocol(max_message_size=1000)
    for start in range(0, len(damaged), 7):
        codec.receive_data(damaged[start : start + 7])
    assert codec.data_to_send()[:1] in (b"", b"\x8a", b"\x88")


def test_a_foreign_client_understands_us_and_we_understand_it() -> None:
    client = ClientProtocol(parse_uri("ws://test/"), state=ClientState.OPEN)
    codec = Protocol()
    client.send_text(b"hello")
    client.send_binary(bytes(70_000))
    client.send_ping(b"p")
    events = [event for data in client.data_to_send() for event in codec.receive_data(data)]
    assert events == [Message(b"hello", False), Message(bytes(70_000), True), Ping(b"p")]
    client.receive_data(codec.data_to_send() + Outgoing("ü".encode()).frame(PLAIN))
    pong, text = client.events_received()
    assert isinstance(pong, Frame)
    assert isinstance(text, Frame)
    assert (pong.data, text.data) == (b"p", "ü".encode())
    codec.close(1001, "bye")
    client.receive_data(codec.data_to_send())
    answers = [event for data in client.data_to_send() for event in codec.receive_data(data)]
    assert answers[0].code == 1001
    assert client.close_rcvd is not None
    assert client.close_rcvd.code == 1001


def test_a_message_of_too_many_fragments_ends_with_1009() -> None:
    codec = Protocol(max_fragments=3)
    pieces = [client_frame(TEXT, b"a", fin=False), *[client_frame(0, b"b", fin=False)] * 2]
    whole = client_frame(TEXT, b"a", fin=False) + client_frame(0, b"b", fin=False)
    assert codec.receive_data(whole + client_frame(0, b"c")) == [Message(b"abc", False)]
    (closed,) = codec.receive_data(b"".join(pieces) + client_frame(0, b"too many"))
    assert isinstance(closed, Closed)
    assert close_code(codec.data_to_send()) == closed.code == 1009


def test_endless_empty_fragments_take_no_memory() -> None:
    codec = Protocol(max_fragments=10**6)
    codec.receive_data(client_frame(TEXT, fin=False))
    empty = client_frame(0, fin=False) * 1000
    tracemalloc.start()
    try:
        for _ in range(100):
            assert codec.receive_data(empty) == []
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 10_000
    assert codec.receive_data(client_frame(0, b"end")) == [Message(b"end", False)]
