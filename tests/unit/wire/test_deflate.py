from __future__ import annotations

import itertools
import tracemalloc
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.frames import Opcode as ForeignOpcode
from websockets.headers import build_extension, parse_extension

from tests.unit.wire import client_frame
from ws4redis.wire.deflate import TAIL, agree, get_deflate
from ws4redis.wire.extensions import parse_extensions
from ws4redis.wire.outgoing import Encoding, Outgoing
from ws4redis.wire.protocol import Closed, Message, Protocol

TEXT, BINARY, PING, CONTINUATION = 1, 2, 9, 0
COMPRESSED = 0x40
NO_TAKEOVER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def answer(header: str) -> str | None:
    agreement = agree(parse_extensions(header), 0)
    return agreement.header if agreement else None


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[: -len(TAIL)]


def fragmented(pieces: Sequence[bytes], opcode: int = TEXT) -> bytes:
    frames = [
        client_frame(
            (opcode | COMPRESSED) if number == 0 else CONTINUATION,
            piece,
            fin=number == len(pieces) - 1,
        )
        for number, piece in enumerate(pieces)
    ]
    return b"".join(frames)


@pytest.mark.parametrize(
    ("offer", "accepted"),
    [
        ("permessage-deflate", NO_TAKEOVER),
        ("permessage-deflate; client_max_window_bits", NO_TAKEOVER),
        ("permessage-deflate; client_max_window_bits=8", NO_TAKEOVER),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            NO_TAKEOVER,
        ),
        (
            "permessage-deflate; server_max_window_bits=9",
            f"{NO_TAKEOVER}; server_max_window_bits=9",
        ),
        (
            'permessage-deflate; server_max_window_bits="15"',
            f"{NO_TAKEOVER}; server_max_window_bits=15",
        ),
        # The first offer that can be met counts.
        (
            "x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=8, "
            "permessage-deflate; server_max_window_bits=12, permessage-deflate",
            f"{NO_TAKEOVER}; server_max_window_bits=12",
        ),
        ("", None),
        ("permessage-bzip2", None),
        ("permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits=09", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; client_max_window_bits=7", None),
        ("permessage-deflate; client_no_context_takeover=1", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits=10", None),
        ("permessage-deflate; unknown", None),
    ],
)
def test_offers_and_their_answers(offer: str, accepted: str | None) -> None:
    assert answer(offer) == accepted


@given(
    messages=st.lists(st.binary(max_size=3000), min_size=1, max_size=4),
    server_bits=st.sampled_from([None, *range(9, 16)]),
    client_bits=st.sampled_from([True, *range(9, 16)]),
    takeover=st.booleans(),
)
def test_another_library_understands_us_and_we_understand_it(
    messages: list[bytes], server_bits: int | None, client_bits: bool | int, takeover: bool
) -> None:
    factory = ClientPerMessageDeflateFactory(
        server_no_context_takeover=takeover,
        server_max_window_bits=server_bits,
        client_max_window_bits=client_bits,
    )
    offer = build_extension([(factory.name, factory.get_request_params())])
    agreement = agree(parse_extensions(offer), 0)
    assert agreement is not None
    ((_, parameters),) = parse_extension(agreement.header)
    foreign = factory.process_response_params(parameters, [])
    codec = Protocol(inflates=True)
    for message in messages:
        frame = Outgoing(message).frame(Encoding(True, agreement.deflate))
        head = 2 if frame[1] < 126 else 4
        seen = Frame(ForeignOpcode(frame[0] & 15), frame[head:], rsv1=bool(frame[0] & COMPRESSED))
        assert foreign.decode(seen).data == message
        packed = foreign.encode(Frame(ForeignOpcode.BINARY, message))
        data = client_frame(BINARY | (COMPRESSED if packed.rsv1 else 0), bytes(packed.data))
        assert codec.receive_data(data) == [Message(message, True)]


@given(
    text=st.text(max_size=500),
    cuts=st.lists(st.integers(0, 600), max_size=5),
    size=st.integers(1, 50),
)
def test_a_compressed_message_may_be_cut_anywhere(text: str, cuts: list[int], size: int) -> None:
    packed = deflated(text.encode())
    places = [0, *sorted(min(cut, len(packed)) for cut in cuts), len(packed)]
    pieces = [packed[start:end] for start, end in itertools.pairwise(places)]
    stream = fragmented(pieces)
    codec = Protocol(inflates=True)
    events = [
        event
        for start in range(0, len(stream), size)
        for event in codec.receive_data(stream[start : start + size])
    ]
    assert events == [Message(text.encode(), False)]


def test_messages_that_would_not_gain_are_left_alone() -> None:
    deflate = get_deflate(15, 100)
    assert deflate.compress(b"a" * 99) is None
    assert deflate.compress(bytes(range(256))) is None
    packed = deflate.compress(b"a" * 100)
    assert packed is not None
    assert len(packed) < 20


def test_who_did_not_agree_may_not_compress() -> None:
    (closed,) = Protocol().receive_data(client_frame(TEXT | COMPRESSED, deflated(b"x")))
    assert isinstance(closed, Closed)
    assert closed.code == 1002


@pytest.mark.parametrize(
    "data",
    [
        client_frame(PING | COMPRESSED),
        client_frame(TEXT, b"a", fin=False) + client_frame(CONTINUATION | COMPRESSED, b"b"),
        client_frame(TEXT | 0x20, b"a"),
        client_frame(TEXT | 0x50, b"a"),
    ],
)
def test_other_reserved_bits_stay_forbidden(data: bytes) -> None:
    *_, closed = Protocol(inflates=True).receive_data(data)
    assert isinstance(closed, Closed)
    assert closed.code == 1002


def test_compressed_and_plain_messages_may_alternate() -> None:
    codec = Protocol(inflates=True)
    data = client_frame(TEXT | COMPRESSED, deflated(b"one")) + client_frame(TEXT, b"two")
    data += client_frame(TEXT | COMPRESSED)
    assert codec.receive_data(data) == [Message(text, False) for text in (b"one", b"two", b"")]


def test_a_final_block_ends_a_message() -> None:
    # The example of section 7.2.3.4.
    codec = Protocol(inflates=True)
    packed = bytes.fromhex("f348cdc9c90700")
    assert codec.receive_data(client_frame(TEXT | COMPRESSED, packed)) == [Message(b"Hello", False)]


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff\xff\xff",
        # Behind a final block.
        bytes.fromhex("f348cdc9c90700") + b"more",
        # Inflates to what is no text.
        deflated(b"\xff\xfe"),
        deflated("ü".encode()[:1]),
    ],
)
def test_what_can_not_be_read_closes_with_1007(payload: bytes) -> None:
    *_, closed = Protocol(inflates=True).receive_data(client_frame(TEXT | COMPRESSED, payload))
    assert isinstance(closed, Closed)
    assert closed.code == 1007


def test_a_message_may_be_as_large_as_the_limit_when_inflated() -> None:
    codec = Protocol(max_message_size=1000, inflates=True)
    assert codec.receive_data(client_frame(TEXT | COMPRESSED, deflated(b"a" * 1000))) == [
        Message(b"a" * 1000, False)
    ]
    (closed,) = codec.receive_data(client_frame(TEXT | COMPRESSED, deflated(b"a" * 1001)))
    assert isinstance(closed, Closed)
    assert closed.code == 1009


def test_a_bomb_takes_no_more_memory_than_the_limit() -> None:
    limit = 2**20
    bomb = client_frame(TEXT | COMPRESSED, deflated(bytes(2**28)))
    codec = Protocol(max_message_size=limit, inflates=True)
    tracemalloc.start()
    try:
        events = [
            event
            for start in range(0, len(bomb), 16384)
            for event in codec.receive_data(bomb[start : start + 16384])
        ]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [event.code for event in events if isinstance(event, Closed)] == [1009]
    # While zlib's buffer grows there are two of them, beside what came.
    assert peak < 4 * limit


def test_what_one_read_stands_for_does_not_come_all_at_once() -> None:
    codec = Protocol(inflates=True)
    large = client_frame(BINARY | COMPRESSED, deflated(bytes(2**20)))
    batches = [codec.receive_data(large * 15)]
    while codec.has_more:
        batches.append(codec.receive_data(b""))
    assert [len(batch) for batch in batches] == [1] * 15


def test_a_compressed_message_that_never_ends_takes_what_it_came_in() -> None:
    packed = deflated(bytes(2**20))
    tracemalloc.start()
    try:
        codecs = [Protocol(inflates=True) for _ in range(50)]
        for codec in codecs:
            codec.receive_data(client_frame(BINARY | COMPRESSED, packed, fin=False))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 50 * 4 * len(packed)


def test_endless_blocks_of_nothing_end_with_1009() -> None:
    codec = Protocol(max_message_size=1000, max_fragments=10**6, inflates=True)
    codec.receive_data(client_frame(TEXT | COMPRESSED, b"", fin=False))
    nothing = client_frame(CONTINUATION, b"\x00" + TAIL, fin=False)
    events = [event for _ in range(1000) for event in codec.receive_data(nothing)]
    assert [event.code for event in events if isinstance(event, Closed)] == [1009]
