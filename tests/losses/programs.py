"""The programs that publish and listen, driven from here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.deployments import ROOT
from tests.waiting import PATIENCE

Command = Sequence[str]


def started(command: Command, environment: Mapping[str, str] | None = None) -> Any:
    """Start a program that is spoken to in lines."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        cwd=ROOT,
        env={**(environment or os.environ), "PYTHONPATH": str(ROOT)},
    )


class Publisher(AbstractContextManager["Publisher"]):
    """One that publishes numbered messages from its start to its end."""

    def __init__(self, name: str, command: Command, environment: Mapping[str, str]) -> None:
        self.name = name
        self.published = 0
        """Messages that are known to be published."""
        self._process = started(command, environment)
        self._counting = threading.Thread(target=self._count)
        self._counting.start()

    def __exit__(self, *details: object) -> None:
        # One that can't publish any more would try for ever.
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._counting.join()

    def stop(self) -> int:
        """Let it publish what it is at; return how many messages it published."""
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._counting.join()
        return self.published

    def _count(self) -> None:
        for line in self._process.stdout:
            self.published = int(line)
        self._process.stdout.close()


class Audience(AbstractContextManager["Audience"]):
    """Clients in a process of their own.

    Args:
        kind: One of those that ``tests.losses.audience`` knows.
        count: How many there are.
        url: Where they connect.
        is_slow: Whether little is kept of what they do not read.
    """

    def __init__(self, kind: str, count: int, url: str, *, is_slow: bool = False) -> None:
        self.count = count
        options = ["slow"] if is_slow else []
        command = [sys.executable, "-m", "tests.losses.audience", kind, str(count), url, *options]
        self.process = started(command)

    def __exit__(self, *details: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def ask(self, command: str = "status") -> Any:
        """Let it carry out a command; return how the clients are."""
        self.process.stdin.write(f"{command}\n")
        return json.loads(self.process.stdout.readline())

    def is_open(self) -> bool:
        """Whether all clients are connected."""
        return bool(self.ask()["open"] == self.count)

    def has(self, published: Mapping[str, int]) -> bool:
        """Whether all clients have the last message of each publisher."""
        latest = self.ask()["latest"]
        return all(latest.get(name, -1) >= count - 1 for name, count in published.items())

    def records(self, directory: Path) -> list[list[str]]:
        """Return what each client noted."""
        path = directory / f"records-{self.process.pid}.json"
        self.ask(f"report {path}")
        records: list[list[str]] = json.loads(path.read_text())
        path.unlink()
        return records
