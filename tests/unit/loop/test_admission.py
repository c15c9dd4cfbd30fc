"""How many websockets may be open."""

from __future__ import annotations

from typing import Any

import pytest

from ws4redis.exceptions import HandshakeError
from ws4redis.loop.admission import ANONYMOUS, Admission, Identity
from ws4redis.loop.options import Options
from ws4redis.metrics import Metrics


def make(**limits: Any) -> Admission:
    return Admission(Options(**limits), Metrics())


def refusal(admission: Admission, address: str) -> int:
    with pytest.raises(HandshakeError) as refused:
        admission.enter(address)
    return refused.value.status


def test_a_full_process_refuses_everybody() -> None:
    admission = make(max_connections=2)
    first = admission.enter("a")
    admission.enter("b")
    assert refusal(admission, "c") == 503
    admission.leave(first)
    admission.enter("c")
    assert len(admission) == 2


def test_an_address_with_too_many_is_refused_alone() -> None:
    admission = make(max_connections_per_address=2)
    first = admission.enter("a")
    admission.enter("a")
    assert refusal(admission, "a") == 429
    admission.enter("b")
    admission.leave(first)
    admission.enter("a")
    assert len(admission) == 3


@pytest.mark.parametrize("what", ["user", "session"])
def test_a_user_or_session_with_too_many_is_refused_alone(what: str) -> None:
    metrics = Metrics()
    limits: dict[str, Any] = {f"max_connections_per_{what}": 2}
    admission = Admission(Options(**limits), metrics)
    one, other = Identity(**{what: "one"}), Identity(**{what: "other"})
    places = [admission.enter("a") for _ in range(6)]
    for place in places[:2]:
        admission.identify(place, one)
    with pytest.raises(HandshakeError) as refused:
        admission.identify(places[2], one)
    assert refused.value.status == 429
    admission.leave(places[2])
    admission.identify(places[3], other)
    # Those without are not one of them.
    admission.identify(places[4], ANONYMOUS)
    admission.leave(places[0])
    admission.identify(places[5], one)
    assert metrics.values[f"limits.{what}"] == 1


def test_nothing_is_kept_of_those_that_left() -> None:
    admission = make()
    places = [admission.enter(f"{number}") for number in range(100)]
    for number, place in enumerate(places[:50]):
        admission.identify(place, Identity(user=f"{number}", session=f"{number}"))
    for place in places:
        admission.leave(place)
    assert len(admission) == 0
    assert not any(
        [admission._addresses, admission._users, admission._sessions, admission.entering]
    )
