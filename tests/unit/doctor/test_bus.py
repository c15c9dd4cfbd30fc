"""What the doctor thinks of a Redis."""

from __future__ import annotations

import pytest

from ws4redis.doctor.bus import judge_memory, judge_version
from ws4redis.doctor.report import Level


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("5.0.14", Level.PROBLEM),
        ("2.8.4", Level.PROBLEM),
        ("6.0.0", Level.OK),
        ("7.2.4", Level.OK),
        ("10.1", Level.OK),
        ("unstable", Level.OK),
    ],
)
def test_a_redis_without_resp3_is_too_old(version: str, level: Level) -> None:
    finding = judge_version(version, "here")
    assert finding.level is level
    assert version in finding.message


def test_a_redis_that_may_drop_a_history_is_warned_of() -> None:
    for limit in (0, 1000):
        finding = judge_memory(limit, "allkeys-lru", has_history=True)
        assert finding.level is Level.WARNING
        assert "may drop what WS4REDIS_HISTORY keeps (allkeys-lru)" in finding.message
        assert "noeviction" in finding.hint
    assert judge_memory(0, "noeviction", has_history=True).level is Level.OK


@pytest.mark.parametrize(
    ("limit", "policy", "level", "text"),
    [
        (0, "allkeys-lru", Level.OK, "evicts nothing"),
        (1000, "noeviction", Level.WARNING, "refuses to persist"),
        (1000, "volatile-ttl", Level.WARNING, "drops persisted messages (volatile-ttl)"),
    ],
)
def test_what_a_full_redis_does_is_said(limit: int, policy: str, level: Level, text: str) -> None:
    finding = judge_memory(limit, policy)
    assert finding.level is level
    assert text in finding.message
