from __future__ import annotations

import pytest

from ws4redis.metrics import NAMES, Metrics


def test_events_are_counted_from_zero() -> None:
    metrics = Metrics()
    metrics.event("bus.lost")
    metrics.event("messages.delivered", 5)
    assert metrics.values["bus.lost"] == 1
    assert metrics.values["messages.delivered"] == 5
    assert set(metrics.values) == set(NAMES)


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError, match=r"bus\.lots"):
        Metrics().event("bus.lots")
