from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ws4redis.loop.wheel import Wheel


@given(st.integers(1, 20), st.integers(0, 100))
def test_each_item_is_served_once_in_an_interval(slots: int, count: int) -> None:
    wheel: Wheel[int] = Wheel(slots)
    for item in range(count):
        wheel.add(item)
    turns = [wheel.turn() for _ in range(slots)]
    assert sorted(item for turn in turns for item in turn) == list(range(count))
    assert max(map(len, turns)) - min(map(len, turns)) <= 1


def test_what_is_discarded_is_not_served() -> None:
    wheel: Wheel[str] = Wheel(1)
    slot = wheel.add("gone")
    wheel.discard("gone", slot)
    wheel.discard("gone", slot)
    assert wheel.turn() == ()
