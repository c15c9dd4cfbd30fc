"""Clients that say where they were lose nothing: the rows of ``make chaos``, in short.

Each publishes with two processes to clients of three workers, and judges what each client noted.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.losses.publisher import FACILITY
from tests.losses.rows import ROWS, leave_behind, promote
from tests.losses.scene import Row, Scene, play
from tests.losses.sites import OURS, ours
from tests.waiting import wait_for

CLIENTS, RATE = 6, 30.0
SHORT: dict[str, dict[str, Any]] = {
    # So many that each worker has some.
    "kill": {"clients": 20},
    "many": {"times": 5},
    "deploy": {"clients": 100, "rate": 10.0},
    # Long enough to be given up for dead meanwhile.
    "suspend": {"seconds": 2.0, "settings": {"WS4REDIS_PING_INTERVAL": 0.5}},
    "slow": {"seconds": 2.0},
    "rate": {"seconds": 2.0, "rate": 250.0},
    "trimmed": {"seconds": 1.0, "rate": 250.0},
}
"""What is smaller than in the table, of each row."""


SMALL_HISTORY = {"WS4REDIS_HISTORY": {FACILITY: {"length": 1}}}


def be_overtaken(scene: Scene) -> None:
    """A replica publishes more than it lacked, before anybody is back."""
    leave_behind(scene)
    scene.publish_for(scene.row.seconds)
    scene.network.refuse()
    scene.network.cut()
    promote(scene)
    scene.publish_for(2 * scene.row.seconds)
    let_back(scene)


def miss_much(scene: Scene) -> None:
    """More is published than is kept, before anybody is back."""
    scene.network.refuse()
    scene.network.cut()
    scene.publish_for(scene.row.seconds)
    let_back(scene)


def let_back(scene: Scene) -> None:
    """Let all workers have their links to Redis again, so that what follows comes live."""
    scene.network.allow()
    server = scene.site.server
    assert server is not None
    workers = len(scene.site.workers())
    wait_for(lambda: server.log.count("Redis is back") == workers)


FURTHER = (
    Row(
        name="overtaken",
        title="a replica takes over and publishes more than it lacked",
        fault=be_overtaken,
        has_replica=True,
        is_gone=True,
    ),
    Row(
        name="trimmed",
        title="more is missed than is kept",
        fault=miss_much,
        settings=SMALL_HISTORY,
        is_gone=True,
    ),
)
"""Faults that are in no table."""


def short(row: Row) -> Row:
    return replace(
        row, **{"clients": CLIENTS, "rate": RATE, "seconds": 0.5} | SHORT.get(row.name, {})
    )


@pytest.mark.parametrize("row", [short(row) for row in (*ROWS, *FURTHER)], ids=lambda row: row.name)
def test_nothing_is_lost_or_it_is_told(row: Row, tmp_path: Path, users: Any) -> None:
    verdict = play(row, ours, tmp_path)[OURS]
    assert verdict.holds(row.is_gone), verdict
    assert verdict.delivered + verdict.told == verdict.due > 0


def test_nothing_is_lost_where_nothing_was_published_before(tmp_path: Path, users: Any) -> None:
    row = short(next(row for row in ROWS if row.name == "link"))
    with Scene(row, tmp_path) as scene:
        scene.set_up(ours)
        scene.network.refuse()
        scene.network.cut()
        scene.start_publishing()
        scene.publish_for(row.seconds)
        scene.network.allow()
        verdict = scene.verdicts()[OURS]
    assert verdict.holds(is_gone=False), verdict
