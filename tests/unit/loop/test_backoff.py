from __future__ import annotations

import statistics

from ws4redis.loop.backoff import MAX_DELAY, MIN_DELAY, STEADY, Backoff


def delays(count: int) -> list[float]:
    backoff = Backoff()
    return [backoff.failed() for _ in range(count)]


def test_the_delays_grow_and_then_stay_below_their_bound() -> None:
    many = [delays(2000) for _ in range(20)]
    assert max(each[0] for each in many) <= 2 * MIN_DELAY
    assert max(map(max, many)) <= MAX_DELAY
    # So many attempts are made in an outage of an hour, not hundreds of thousands.
    assert all(sum(each) > 1500 for each in many)


def test_two_processes_that_lose_their_links_together_do_not_come_back_in_step() -> None:
    one, other = delays(500), delays(500)
    apart = [abs(mine - theirs) for mine, theirs in zip(one[10:], other[10:], strict=True)]
    assert statistics.median(apart) > MAX_DELAY / 10


def test_a_link_that_breaks_soon_is_a_failure_and_one_that_held_begins_anew() -> None:
    backoff = Backoff()
    assert max(backoff.failed(held=STEADY / 2) for _ in range(200)) > MAX_DELAY / 2
    assert max(backoff.failed(held=STEADY) for _ in range(200)) <= 2 * MIN_DELAY
