"""Swaps the bus for one in memory, as long as a test goes on."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from django.test.utils import TestContextDecorator

from ws4redis.redis_client import replaced
from ws4redis.testing.memory import memory_client
from ws4redis.testing.scene import Scene

_scenes: list[Scene] = []


class override_bus(TestContextDecorator):
    """Publish in memory, without Redis: a context manager, and a decorator of tests and classes.

    At its end, all websockets of the test are closed, and what views have raised since the test
    last used one is raised. Views that need no bus need no ``fakeredis``, either.
    """

    def __init__(self) -> None:
        super().__init__()
        self._entered: list[ExitStack] = []

    def enable(self) -> Any:
        """Begin; return the client of the Redis in memory."""
        scene = Scene(memory_client())
        with ExitStack() as stack:
            stack.enter_context(replaced(scene.client))
            _scenes.append(scene)
            stack.callback(_end, scene)
            self._entered.append(stack.pop_all())
        return scene.client

    def disable(self) -> None:
        """End."""
        self._entered.pop().close()

    def decorate_class(self, cls: type) -> type:
        """Decorate a test case."""
        decorated: type = super().decorate_class(cls)
        return decorated


def current_scene() -> Scene | None:
    """Return the loop of the test; None without ``override_bus``."""
    return _scenes[-1] if _scenes else None


def _end(scene: Scene) -> None:
    try:
        scene.close()
    finally:
        _scenes.remove(scene)
