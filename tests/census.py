"""Counts what a process of the loop holds; ``/ws/census`` of a test's server tells it."""

from __future__ import annotations

import gc
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import greenlet
from django.core.exceptions import PermissionDenied

from tests.raw import RawClient
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.servers import Server

# One thread for hooks: a pool grows when it happens to be busy.
SETTINGS = {"WS4REDIS_PROCESS_REQUEST": "tests.census.tell", "WS4REDIS_HOOK_THREADS": 1}
_ADDRESS = "/ws/census"
_OWN = ("Websocket", "EventStream", "Facility", "Feed", "Protocol", "HandshakeError", "_Opening")


def ask(server: Server) -> dict[str, int]:
    """Return what the one process of a server holds."""
    answer = RawClient.ask(server, _ADDRESS, {})
    counts: dict[str, int] = json.loads(answer.partition("\r\n\r\n")[2])
    return counts


def counter(server: Server, redis_client: Any) -> Callable[[], dict[str, int]]:
    """Return what counts all that a server holds, in its one process and in Redis."""

    def count() -> dict[str, int]:
        links = {"links to Redis": len(redis_client.client_list())}
        followed = {"channels in Redis": len(redis_client.pubsub_channels())}
        return ask(server) | links | followed

    return count


def settled(count: Callable[[], dict[str, int]]) -> dict[str, int]:
    """Return the counts once they stay the same: threads and sockets end in their own time."""
    counts: list[dict[str, int]] = []

    def rests() -> bool:
        counts.append(count())
        last = [{**one, "memory": 0} for one in counts[-5:]]
        return len(last) == 5 and all(one == last[0] for one in last) and not last[0]["websockets"]

    wait_for(rests)
    return counts[-1]


def tell(request: Any) -> None:
    """Answer with the census where it is asked for; a hook, so that all servers have it."""
    if request.path_info == _ADDRESS:
        raise PermissionDenied(json.dumps(_count()))


def _count() -> dict[str, int]:
    from ws4redis.wsgi import get_runner

    runner = get_runner(None)  # type: ignore[arg-type]
    gc.collect()
    objects = gc.get_objects()
    names = Counter(type(one).__name__ for one in objects)
    return {
        "memory": _memory(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "greenlets": sum(_is_greenlet(one) for one in objects),
        "websockets": len(runner.registry),
        "admitted": len(runner.registry.admission),
        "channels": len(list(runner.dispatcher.channels)),
        **{f"objects {name}": names[name] for name in _OWN},
    }


def _is_greenlet(one: Any) -> bool:
    # A thread has one without a parent as soon as it asks for it; threads are counted already.
    return isinstance(one, greenlet.greenlet) and not one.dead and one.parent is not None


def _memory() -> int:
    """Return the resident memory in KiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024
