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
    for number, is_persisted in enumerate(persisted[:answered]):
        payload = b"%d" % number
        last = payload if is_persisted else last
        if number >= joined:
            handover.hold(CHANNEL, payload)
    handover.found(CHANNEL, last)
    live = [b"%d" % number for number in range(joined, answered)]
    expected = [last, *live] if last is not None and last not in live else live
    assert handover.merged() == expected


def test_persisted_messages_of_several_channels_come_first() -> None:
    handover = Handover(100)
    handover.hold(b"a", b"live")
    handover.found(b"a", b"old a")
    handover.found(b"b", b"live")
    handover.found(b"c", None)
    assert handover.merged() == [b"old a", b"live", b"live"]


def test_more_than_the_limit_is_noticed() -> None:
    handover = Handover(10)
    handover.hold(b"a", b"x" * 10)
    assert not handover.overflowed
    handover.hold(b"a", b"x")
    assert handover.overflowed


def test_what_a_site_inserts_comes_in_its_order_before_what_was_held() -> None:
    handover = Handover(100)
    handover.hold(b"a", b"held")
    handover.insert(b"one")
    handover.insert(b"two")
    assert handover.merged() == [b"one", b"two", b"held"]
