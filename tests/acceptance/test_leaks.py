"""Whatever clients do, a process holds afterwards what it held before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import census, crowd
from tests.acceptance.test_client_faults import KINDS, one_process
from tests.servers import RedisServer, serving

BATCHES = 5
"""With 130 clients each."""
GROWTH = 1.1
"""What the memory may be after as many clients as had warmed it up."""


@pytest.mark.parametrize("kind", KINDS)
def test_clients_that_come_and_go_leave_nothing_behind(
    kind: str, tmp_path: Path, own_redis: RedisServer, users: Any
) -> None:
    settings = census.SETTINGS | crowd.SETTINGS
    with (
        serving(kind, tmp_path, own_redis.url, one_process(kind), **settings) as server,
        own_redis.client() as redis_client,
    ):
        count = census.counter(server, redis_client)
        for _ in range(BATCHES):
            crowd.come_and_go(server, redis_client)
        before = census.settled(count)
        for _ in range(BATCHES):
            crowd.come_and_go(server, redis_client)
        after = census.settled(count)
    assert after.pop("memory") < GROWTH * before.pop("memory")
    # An idle thread of a pool may end meanwhile.
    assert {name: count for name, count in after.items() if count > before[name]} == {}
    assert before["websockets"] == 0
    # That on which the loop is told of logouts.
    assert before["channels"] == before["channels in Redis"] == 1
