"""Whatever clients do, a process holds afterwards what it held before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import census, crowd
from tests.acceptance.test_client_faults import KINDS, one_process
from tests.servers import RedisServer, serving
from tests.waiting import PATIENCE, wait_for

BATCHES = 5
"""With 90 clients each."""
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

        def count() -> dict[str, int]:
            links = {"links": len(redis_client.client_list())}
            followed = {"followed": len(redis_client.pubsub_channels())}
            return census.ask(server) | links | followed

        for _ in range(BATCHES):
            crowd.come_and_go(server, redis_client)
        wait_for(lambda: count()["websockets"] == 0)
        before = settled(count)
        for _ in range(BATCHES):
            crowd.come_and_go(server, redis_client)
        memory = before.pop("memory")
        after: dict[str, int] = {}

        def nothing_is_left() -> bool:
            after.update(count())
            return before.items() <= after.items()

        try:
            wait_for(nothing_is_left)
        except AssertionError:
            assert after == before
        assert after["memory"] < GROWTH * memory
        assert before["websockets"] == before["channels"] == before["followed"] == 0


def settled(count: Any) -> dict[str, int]:
    """Return the counts once they stay the same: threads and sockets end in their own time."""
    counts = [count() for _ in range(3)]

    def rests() -> bool:
        counts.append(count())
        last = [{name: one[name] for name in one if name != "memory"} for one in counts[-5:]]
        return all(one == last[0] for one in last)

    wait_for(rests, patience=PATIENCE)
    return counts[-1]
