"""Small stand-ins for what is outside of one module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ws4redis.loop.connection import Phase


class FakeConnection:
    """Collects what is sent to it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.phase = Phase.OPEN
        self._holders: set[object] = set()
        self.closed_with: int | None = None

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self, code: int, reason: str) -> None:
        self.closed_with = code

    def pause(self, holder: object = None) -> None:
        self._holders.add(holder)

    def resume(self, holder: object = None) -> None:
        self._holders.discard(holder)

    @property
    def paused(self) -> bool:
        return bool(self._holders)


class FakeWatcher:
    """A watcher that a test fires by hand."""

    def __init__(self, descriptor: int, events: int) -> None:
        self.events = events
        self.active = False
        self.closed = False
        self._callback: Callable[[], Any] = lambda: None

    def start(self, callback: Callable[[], Any]) -> None:
        self._callback = callback
        self.active = True

    def stop(self) -> None:
        self.active = False

    def close(self) -> None:
        self.closed = True

    def fire(self) -> None:
        if self.active:
            self._callback()


class FakeIO:
    """Makes watchers and keeps them."""

    def __init__(self) -> None:
        self.watchers: list[FakeWatcher] = []

    def __call__(self, descriptor: int, events: int) -> FakeWatcher:
        self.watchers.append(FakeWatcher(descriptor, events))
        return self.watchers[-1]

    def fire(self, events: int) -> None:
        for watcher in tuple(self.watchers):
            if watcher.events == events:
                watcher.fire()
