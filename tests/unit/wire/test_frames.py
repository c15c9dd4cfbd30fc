from __future__ import annotations

import pytest

from tests.unit.wire import client_frame
from ws4redis.exceptions import ProtocolError
from ws4redis.wire.frames import Header, Opcode, encode_frame, parse_header


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_every_length_is_written_in_its_shortest_form(size: int) -> None:
    frame = encode_frame(Opcode.BINARY, bytes(size))
    head = len(frame) - size
    assert head == (2 if size < 126 else 4 if size < 65536 else 10)
    header = parse_header(client_frame(Opcode.BINARY, bytes(size)))
    assert header == Header(True, 2, size, b"\x01\x02\x03\x04", head + 4)


@pytest.mark.parametrize("size", [3, 200, 70000])
def test_a_part_of_a_header_is_no_header_yet(size: int) -> None:
    frame = client_frame(Opcode.TEXT, bytes(size))
    header = parse_header(frame)
    assert header is not None
    for cut in range(header.size):
        assert parse_header(frame[:cut]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1\x80",  # RSV1
        b"\x83\x80",  # opcode 3
        b"\x8b\x80",  # opcode 11
        b"\x81\x05",  # not masked
        b"\x09\x80",  # a ping in fragments
        b"\x89\xfe",  # a ping of more than 125 bytes
        b"\x82\xfe\x00\x7d",  # 125 in two bytes
        b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff",  # 65535 in eight bytes
        b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00",  # more than 63 bits
    ],
)
def test_what_a_client_may_not_send_is_1002_as_soon_as_it_is_seen(data: bytes) -> None:
    with pytest.raises(ProtocolError) as error:
        parse_header(data)
    assert error.value.close_code == 1002
