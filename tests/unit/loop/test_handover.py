from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ws4redis.loop.handover import Handover

CHANNEL = b"broadcast:foo"


@given(st.lists(st.booleans(), max_size=10), st.integers(0, 10), st.integers(0, 10))
def test_nothing_is_missing_and_nothing_comes_twice(
    persisted: list[bool], joined: int, answered: int
) -> None:
    """Messages 0, 1, … are published, some of them persisted. The websocket joins before message
    number ``joined``, and Redis answers the GET before message number ``answered``."""
    joined, answered = min(joined, len(persisted)), min(max(joined, answered), len(persisted))
    handover = Handover(10_000)
    last = None
    for number, is_persisted in enumerate(persisted):
        payload = b"%d" % number
        if number == answered:
            handover.found(CHANNEL, last)
        last = payload if is_persisted and number < answered else last
        if number >= joined:
            handover.hold(CHANNEL, payload)
    if answered == len(persisted):
        handover.found(CHANNEL, last)
    live = [b"%d" % number for number in range(answered, len(persisted))]
    assert handover.merged() == ([] if last is None else [last]) + live


def test_what_an_earlier_subscription_left_on_the_way_does_not_come_after_what_is_newer() -> None:
    handover = Handover(100)
    handover.hold(CHANNEL, b"old")
    handover.found(CHANNEL, b"newest")
    assert handover.merged() == [b"newest"]


def test_two_equal_messages_are_two() -> None:
    handover = Handover(100)
    handover.found(CHANNEL, b"tick")
    handover.hold(CHANNEL, b"tick")
    assert handover.merged() == [b"tick", b"tick"]


def test_persisted_messages_of_several_channels_come_first() -> None:
    handover = Handover(100)
    handover.found(b"a", b"old a")
    handover.hold(b"a", b"live")
    handover.found(b"b", b"old b")
    handover.found(b"c", None)
    assert handover.merged() == [b"old a", b"old b", b"live"]


def test_more_than_the_limit_is_noticed() -> None:
    handover = Handover(10)
    handover.found(b"a", None)
    handover.hold(b"a", b"x" * 10)
    assert not handover.overflowed
    handover.hold(b"a", b"x")
    assert handover.overflowed


def test_what_a_site_inserts_comes_in_its_order_before_what_was_held() -> None:
    handover = Handover(100)
    handover.found(b"a", None)
    handover.hold(b"a", b"held")
    handover.insert(b"one")
    handover.insert(b"two")
    assert handover.merged() == [b"one", b"two", b"held"]
