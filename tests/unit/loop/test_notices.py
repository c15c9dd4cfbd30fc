from __future__ import annotations

from ws4redis.loop.notices import KINDS_LIMIT, Notices


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_same_notice_comes_once_in_an_interval_and_tells_of_those_held_back() -> None:
    clock = Clock()
    notices = Notices(60, clock)
    assert [notices.held("OOM") for _ in range(3)] == [0, None, None]
    assert notices.held("NOPERM") == 0
    clock.now += 60
    assert [notices.held("OOM") for _ in range(2)] == [2, None]
    clock.now += 60
    assert notices.held("NOPERM") == 0


def test_what_is_remembered_is_bounded() -> None:
    notices = Notices(60, Clock())
    for number in range(10 * KINDS_LIMIT):
        notices.held(f"{number}")
    assert len(notices._due) <= KINDS_LIMIT
