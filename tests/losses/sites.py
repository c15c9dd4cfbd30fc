"""The sites that are compared: each with several processes, and reached by a websocket."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.losses.publisher import FACILITY
from tests.servers import Server, serving

OURS, PLAIN = "ws4redis", "ws4redis, plain"
"""Clients that say where they were, and those that don't."""
HISTORY = {"WS4REDIS_HISTORY": {FACILITY: {}}}


@dataclass(frozen=True, kw_only=True)
class Site:
    """A running site."""

    process: Any
    """The parent of the processes that hold websockets."""
    url: str
    """Of its websockets, with what they subscribe to."""
    audiences: Mapping[str, str]
    """Its kinds of clients: the name in the table, and the kind of ``tests.losses.audience``."""
    publisher: tuple[str, ...]
    """The command of a publisher, without name, rate and size."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of its publishers, but for the address of Redis."""
    server: Server | None = None

    def workers(self) -> list[psutil.Process]:
        """Return the processes that hold websockets, the one with the most connections first."""
        counted = [(_links(one), one) for one in psutil.Process(self.process.pid).children()]
        return [one for links, one in sorted(counted, key=lambda each: -each[0]) if links]

    def reload(self) -> None:
        """Put other processes into the place of those that run, with mercy."""
        self.process.send_signal(signal.SIGHUP)

    def publishing(self, redis_url: str) -> dict[str, str]:
        """Return the environment of a publisher whose Redis is there."""
        return {**os.environ, **self.environment, "REDIS_URL": redis_url}


def _links(process: psutil.Process) -> int:
    """Return how many connections a process has; none if it has just ended."""
    try:
        return len(process.net_connections("tcp"))
    except psutil.NoSuchProcess:
        return 0


@contextmanager
def ours(directory: Path, redis_url: str, **settings: Any) -> Iterator[Site]:
    """Run ws4redis, with several workers."""
    settings = HISTORY | settings
    with serving("serve-workers", directory, redis_url, **settings) as server:
        yield Site(
            process=server.process,
            url=server.url(f"{FACILITY}?subscribe-broadcast"),
            audiences={OURS: "v1", PLAIN: "plain"},
            publisher=(sys.executable, "-m", "tests.losses.publisher"),
            environment={
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "WS4REDIS_TEST_SETTINGS": json.dumps(settings),
            },
            server=server,
        )
