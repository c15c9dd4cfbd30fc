"""Clients that note what they get, in a process of their own: audience.py KIND COUNT URL [slow].

Each line of the standard input is a command, and each is answered by a line of JSON with how the
clients are: ``status``; ``pause`` and ``resume``, whether they read; ``report FILE`` writes what
they noted.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests.losses.oracle import GAP
from tests.v1 import Data, Plain, Subscriber

KINDS = ("v1", "plain")


class Listener:
    """One client and what it noted."""

    def __init__(self, kind: str, url: str, is_slow: bool) -> None:
        self.record: list[str] = []
        self.latest: dict[str, int] = {}
        """The highest number of each publisher."""
        self.client = (
            Subscriber(url, self._note, lambda channel: self.record.append(GAP), is_slow=is_slow)
            if kind == "v1"
            else Plain(url, self._note, is_slow=is_slow)
        )

    def _note(self, data: Data) -> None:
        text = data if isinstance(data, str) else data.decode()
        entry = text.partition(" ")[0]
        self.record.append(entry)
        name, _, number = entry.rpartition(":")
        self.latest[name] = max(self.latest.get(name, -1), int(number))


class Audience:
    """All clients of the process."""

    def __init__(self, kind: str, count: int, url: str, is_slow: bool) -> None:
        self._listeners = [Listener(kind, url, is_slow) for _ in range(count)]

    async def run(self) -> None:
        """Carry out commands until there are none any more."""
        running = [asyncio.create_task(each.client.run()) for each in self._listeners]
        while line := await asyncio.to_thread(sys.stdin.readline):
            command, *arguments = line.split()
            getattr(self, f"_{command}")(*arguments)
            print(json.dumps(self._state()), flush=True)
        for task in running:
            task.cancel()

    def _status(self) -> None:
        """Do nothing but answer."""

    def _pause(self) -> None:
        for each in self._listeners:
            each.client.reads.clear()

    def _resume(self) -> None:
        for each in self._listeners:
            each.client.reads.set()

    def _report(self, file: str) -> None:
        Path(file).write_text(json.dumps([each.record for each in self._listeners]))

    def _state(self) -> dict[str, Any]:
        clients = [each.client for each in self._listeners]
        names = {name for each in self._listeners for name in each.latest}
        latest = {
            name: min(each.latest.get(name, -1) for each in self._listeners) for name in names
        }
        return {
            "open": sum(client.is_open for client in clients),
            "final": sum(client.is_final for client in clients),
            "connects": sum(client.connects for client in clients),
            "fewest_connects": min(client.connects for client in clients),
            "received": sum(len(each.record) for each in self._listeners),
            "latest": latest,
        }


if __name__ == "__main__":
    kind, count, url, *options = sys.argv[1:]
    asyncio.run(Audience(kind, int(count), url, "slow" in options).run())
