from __future__ import annotations

import importlib
import sys
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws4redis.wire import masking

UNMASKS = [masking.pure_unmask, masking.accelerated_unmask]
VALIDATORS = [masking.PureValidator, masking.AcceleratedValidator]


@pytest.mark.parametrize("unmask", UNMASKS)
@given(data=st.binary(max_size=300), mask=st.binary(min_size=4, max_size=4))
def test_unmasking_is_an_exclusive_or(unmask: object, data: bytes, mask: bytes) -> None:
    assert callable(unmask)
    expected = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
    assert unmask(data, mask) == expected


BAD = [
    b"\xff",
    b"\xc0",  # overlong
    b"\xe0\x80",  # overlong
    b"\xed\xa0",  # a surrogate
    b"\xf4\x90",  # beyond U+10FFFF
    b"\xf5",
    b"\x80",
]


@pytest.mark.parametrize("validator", VALIDATORS)
@pytest.mark.parametrize("bad", BAD)
def test_bad_text_is_noticed_at_its_first_wrong_byte(validator: type, bad: bytes) -> None:
    running = validator()
    results = [running.feed(bytes([byte])) for byte in b"ok" + bad]
    assert results == [True] * (len(results) - 1) + [False]


@pytest.mark.parametrize("validator", VALIDATORS)
def test_text_may_end_only_between_characters(validator: type) -> None:
    running = validator()
    assert running.is_complete
    assert running.feed("ä€😀".encode()[:-1])
    assert not running.is_complete
    assert running.feed("😀".encode()[-1:])
    assert running.is_complete


@given(st.binary(max_size=60), st.integers(0, 60))
def test_both_validators_agree(data: bytes, cut: int) -> None:
    def outcome(validator: type) -> tuple[bool, bool]:
        running = validator()
        valid = running.feed(data[:cut]) and running.feed(data[cut:])
        return valid, valid and running.is_complete

    assert outcome(masking.PureValidator) == outcome(masking.AcceleratedValidator)


def test_without_wsaccel_the_pure_implementation_serves() -> None:
    absent = {"wsaccel": None, "wsaccel.utf8validator": None, "wsaccel.xormask": None}
    try:
        with mock.patch.dict(sys.modules, absent):
            importlib.reload(masking)
            assert masking.unmask is masking.pure_unmask
            assert masking.Utf8 is masking.PureValidator
    finally:
        importlib.reload(masking)
