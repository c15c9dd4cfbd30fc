"""Clients that say where they were lose nothing: the rows of ``make chaos``, in short.

Each publishes with two processes to clients of three workers, and judges what each client noted.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.losses.rows import ROWS
from tests.losses.scene import Row, play
from tests.losses.sites import OURS, ours

CLIENTS, RATE = 6, 30.0
SHORT: dict[str, dict[str, Any]] = {
    "deploy": {"clients": 100, "rate": 10.0},
    # Long enough to be given up for dead meanwhile.
    "suspend": {"seconds": 2.0, "settings": {"WS4REDIS_PING_INTERVAL": 0.5}},
    "slow": {"seconds": 2.0},
    "rate": {"seconds": 2.0, "rate": 250.0},
}
"""What is smaller than in the table, of each row."""


def short(row: Row) -> Row:
    return replace(
        row, **{"clients": CLIENTS, "rate": RATE, "seconds": 0.5} | SHORT.get(row.name, {})
    )


@pytest.mark.parametrize("row", [short(row) for row in ROWS], ids=lambda row: row.name)
def test_nothing_is_lost_or_it_is_told(row: Row, tmp_path: Path, users: Any) -> None:
    verdict = play(row, ours, tmp_path)[OURS]
    assert verdict.holds(row.is_gone), verdict
    assert verdict.delivered + verdict.told == verdict.due > 0
