"""Counts what a process of the loop holds; ``/ws/census`` of a test's server tells it."""

from __future__ import annotations

import gc
import json
import os
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import greenlet
from django.core.exceptions import PermissionDenied

from tests.raw import RawClient

if TYPE_CHECKING:
    from tests.servers import Server

SETTINGS = {"WS4REDIS_PROCESS_REQUEST": "tests.census.tell"}
_ADDRESS = "/ws/census"
_OWN = ("Connection", "Facility", "Protocol", "HandshakeError", "_Opening")


def ask(server: Server) -> dict[str, int]:
    """Return what the one process of a server holds."""
    answer = RawClient.ask(server, _ADDRESS, {})
    counts: dict[str, int] = json.loads(answer.partition("\r\n\r\n")[2])
    return counts


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
        "threads": threading.active_count(),
        "greenlets": sum(isinstance(one, greenlet.greenlet) and not one.dead for one in objects),
        "websockets": len(runner.registry),
        "admitted": len(runner.registry.admission),
        "channels": len(list(runner.dispatcher.channels)),
        **{f"objects {name}": names[name] for name in _OWN},
    }


def _memory() -> int:
    """Return the resident memory in KiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024
