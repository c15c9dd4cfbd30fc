"""A connection on a socket pair, with watchers that a test fires by hand."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.loop.fakes import FakeIO
from ws4redis.loop.connection import Connection
from ws4redis.loop.options import Options
from ws4redis.loop.registry import Registry
from ws4redis.metrics import Metrics

READ, WRITE = 1, 2


class Recorder:
    """A handler that notes what happens."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def on_open(self, connection: Connection) -> None:
        self.calls.append("open")

    def on_message(self, payload: bytes, binary: bool) -> None:
        if payload == b"bug":
            raise ValueError("a bug in the handler")
        self.calls.append((payload, binary))

    def farewell(self, code: int, reason: str) -> bytes:
        return b""

    def on_close(self, code: int, reason: str) -> None:
        self.calls.append(("close", code))


class Setting:
    def __init__(self, **options: Any) -> None:
        self.io = FakeIO()
        self.metrics = Metrics()
        self.seconds = 0.0
        self.registry = Registry(Options(**options), self.metrics, self.io, lambda: self.seconds)
        server, self.client = socket.socketpair()
        self.client.settimeout(5)
        self.handler = Recorder()
        self.connection = self.registry.adopt(server, self.handler)

    def client_sends(self, data: bytes) -> None:
        self.client.sendall(data)
        self.io.fire(READ)

    def ends(self) -> None:
        self.client.close()
        self.connection.abort()


@pytest.fixture
def make() -> Iterator[Any]:
    made: list[Setting] = []

    def build(**options: Any) -> Setting:
        made.append(Setting(**options))
        return made[-1]

    yield build
    for setting in made:
        setting.ends()
