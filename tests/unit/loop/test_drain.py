"""How the end of many websockets is spread."""

from __future__ import annotations

from typing import Any

import pytest

from ws4redis.loop.drain import RATE, STEP, groups


def cut(count: int, seconds: float) -> list[int]:
    connections: list[Any] = list(range(count))
    found = list(groups(connections, seconds))
    assert [one for group in found for one in group] == connections
    return [len(group) for group in found]


@pytest.mark.parametrize(("count", "seconds"), [(20_000, 4), (100_000, 4), (3000, 0.5), (7, 0)])
def test_the_time_is_kept(count: int, seconds: float) -> None:
    sizes = cut(count, seconds)
    assert (len(sizes) - 1) * STEP <= seconds
    assert max(sizes) - min(sizes[:-1] or sizes) <= 1 or len(sizes) == 1


def test_few_websockets_take_no_longer_than_they_need() -> None:
    assert cut(20, 4) == [20]
    assert len(cut(round(RATE), 4)) * STEP == pytest.approx(1)


def test_nobody_is_no_group() -> None:
    assert cut(0, 4) == []
