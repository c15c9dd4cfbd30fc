"""How many websockets may be open."""

from __future__ import annotations

import pytest

from ws4redis.exceptions import HandshakeError
from ws4redis.loop.admission import Admission


def refusal(admission: Admission, address: str) -> int:
    with pytest.raises(HandshakeError) as refused:
        admission.enter(address)
    return refused.value.status


def test_a_full_process_refuses_everybody() -> None:
    admission = Admission(2, None)
    admission.enter("a")
    admission.enter("b")
    assert refusal(admission, "c") == 503
    admission.leave("a")
    admission.enter("c")
    assert len(admission) == 2


def test_an_address_with_too_many_is_refused_alone() -> None:
    admission = Admission(None, 2)
    admission.enter("a")
    admission.enter("a")
    assert refusal(admission, "a") == 429
    admission.enter("b")
    admission.leave("a")
    admission.enter("a")
    assert len(admission) == 3


def test_nothing_is_kept_of_those_that_left() -> None:
    admission = Admission(None, None)
    for number in range(100):
        admission.enter(f"{number}")
    for number in range(100):
        admission.leave(f"{number}")
    assert len(admission) == 0
    assert not admission._by_address
