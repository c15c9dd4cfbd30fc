from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ws4redis.loop.handover import Handover
from ws4redis.wire.outgoing import Outgoing

CHANNEL = b"broadcast:foo"


def message(payload: bytes) -> Outgoing:
    return Outgoing(payload)


def merged(handover: Handover) -> list[bytes]:
    return [one.payload for one in handover.merged()]


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
            handover.found(CHANNEL, [] if last is None else [message(last)])
        last = payload if is_persisted and number < answered else last
        if number >= joined:
            handover.hold(CHANNEL, message(payload))
    if answered == len(persisted):
        handover.found(CHANNEL, [] if last is None else [message(last)])
    live = [b"%d" % number for number in range(answered, len(persisted))]
    assert merged(handover) == ([] if last is None else [last]) + live


def test_what_an_earlier_subscription_left_on_the_way_does_not_come_after_what_is_newer() -> None:
    handover = Handover(100)
    handover.hold(CHANNEL, message(b"old"))
    handover.found(CHANNEL, [message(b"newest")])
    assert merged(handover) == [b"newest"]


def test_two_equal_messages_are_two() -> None:
    handover = Handover(100)
    handover.found(CHANNEL, [message(b"tick")])
    handover.hold(CHANNEL, message(b"tick"))
    assert merged(handover) == [b"tick", b"tick"]


def test_persisted_messages_of_several_channels_come_first() -> None:
    handover = Handover(100)
    handover.found(b"a", [message(b"old a")])
    handover.hold(b"a", message(b"live"))
    handover.found(b"b", [message(b"old b")])
    handover.found(b"c", [])
    assert merged(handover) == [b"old a", b"old b", b"live"]


def test_more_than_the_limit_is_noticed() -> None:
    handover = Handover(10)
    handover.found(b"a", [])
    handover.hold(b"a", message(b"x" * 10))
    assert not handover.overflowed
    handover.hold(b"a", message(b"x"))
    assert handover.overflowed


def test_what_a_site_inserts_comes_in_its_order_before_what_was_held() -> None:
    handover = Handover(100)
    handover.found(b"a", [])
    handover.hold(b"a", message(b"held"))
    handover.insert(message(b"one"))
    handover.insert(message(b"two"))
    assert merged(handover) == [b"one", b"two", b"held"]
