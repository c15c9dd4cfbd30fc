from __future__ import annotations

import pytest

from ws4redis.exceptions import InvalidPayload, ProtocolError
from ws4redis.wire.close import decode_close, encode_close, may_be_received


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1014, 3000, 4999])
def test_a_code_that_may_be_sent_survives_the_way(code: int) -> None:
    assert decode_close(encode_close(code, "wörd")) == (code, "wörd")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000])
def test_other_codes_are_refused(code: int) -> None:
    assert not may_be_received(code)
    with pytest.raises(ProtocolError) as error:
        decode_close(code.to_bytes(2, "big"))
    assert error.value.close_code == 1002


def test_no_code_is_1005() -> None:
    assert decode_close(b"") == (1005, "")
    assert encode_close(1005) == b""


def test_a_code_that_may_not_be_sent_is_named() -> None:
    with pytest.raises(ValueError, match="1006"):
        encode_close(1006)


def test_one_byte_is_no_close_frame() -> None:
    with pytest.raises(ProtocolError):
        decode_close(b"\x03")


def test_a_reason_that_is_not_utf8_is_1007() -> None:
    with pytest.raises(InvalidPayload) as error:
        decode_close(b"\x03\xe8\xff")
    assert error.value.close_code == 1007


def test_a_long_reason_is_cut_at_a_character() -> None:
    payload = encode_close(1000, "ä" * 100)
    assert len(payload) == 2 + 122
    assert decode_close(payload) == (1000, "ä" * 61)
