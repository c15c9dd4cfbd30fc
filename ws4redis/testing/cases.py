"""Test cases for sites with websockets."""

from __future__ import annotations

import json
import time
import unittest
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.test import testcases

from ws4redis import wsgi
from ws4redis.loop.runner import Runner
from ws4redis.publisher import RedisPublisher
from ws4redis.redis_client import replaced
from ws4redis.redis_store import RedisMessage
from ws4redis.testing.bus import override_bus
from ws4redis.testing.client import WebSocketClient
from ws4redis.testing.memory import memory_client
from ws4redis.testing.published import PublishedMessage, captured_messages
from ws4redis.views.running import Views

if TYPE_CHECKING:
    from django.test import SimpleTestCase as _Case
else:
    _Case = object

_ANYTHING = object()

PATIENCE = 5.0
"""Seconds for which a live server waits for its views in the end."""
POLL = 0.01


class WebSocketTestMixin(_Case):
    """For ``TestCase`` and its like: a bus in memory, ``self.client.connect()``, and a record."""

    client: WebSocketClient
    client_class = WebSocketClient
    published: list[PublishedMessage]
    """What this test has published."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Check beside what it stands.

        Raises:
            TypeError: It would do nothing, or harm.
        """
        super().__init_subclass__(**options)
        if issubclass(cls, LiveServerMixin):
            raise TypeError(
                f"{cls.__name__} would publish in memory, and its live server listen to the real "
                "Redis: leave out WebSocketTestMixin."
            )
        if _is_misplaced(cls):
            raise TypeError(
                "WebSocketTestMixin stands before a test case of Django: "
                f"class {cls.__name__}(WebSocketTestMixin, TestCase)."
            )

    @classmethod
    def setUpClass(cls) -> None:
        """Let what ``setUpTestData`` publishes not get to a real Redis."""
        # No websockets: their views would end when the class has rolled back its transaction.
        cls.enterClassContext(replaced(memory_client()))
        super().setUpClass()

    def setUp(self) -> None:
        """Begin with an empty bus."""
        super().setUp()
        self.enterContext(override_bus())
        self.published = self.enterContext(captured_messages())

    def assertPublished(self, message: Any = _ANYTHING, **audience: Any) -> None:
        """See that a message was published on all channels of an audience.

        Args:
            message: What was said, as given to the publisher; anything if it is left out.
            audience: The arguments of ``RedisPublisher``: ``facility="chat", users=["john"]``.
        """
        channels = sorted(RedisPublisher(**audience)._publishers)
        if not channels:
            self.fail(f"Nobody is addressed by {audience}.")
        for channel in channels:
            said = [one for one in self.published if one.channel == channel]
            if not any(message is _ANYTHING or _is_same(one.data, message) for one in said):
                shown = [str(one.data) for one in said]
                self.fail(f"Not published on {channel!r}: {message!r}. There was {shown}.")


class _LiveViews(Views):
    """Views in threads, which share a database in memory as those of Django's live server do.

    Args:
        shared: Connections by the names of their databases.
    """

    def __init__(self, shared: Mapping[str, Any]) -> None:
        super().__init__()
        self._shared = shared
        self._running: Collection[object] = ()

    def start(self, runner: Runner, view: Callable[[], None], limit: int) -> None:
        def share() -> None:
            for alias, connection in self._shared.items():
                connections[alias] = connection
            view()

        self._running = runner.tasks
        super().start(runner, share, limit)

    def join(self, seconds: float) -> None:
        """Wait until no view runs: a database in use can't be dropped.

        Raises:
            AssertionError: Some still do.
        """
        end = time.monotonic() + seconds
        while self._running and time.monotonic() < end:
            time.sleep(POLL)
        if self._running:
            raise AssertionError(
                f"Views that have not ended with their websockets: {len(self._running)}."
            )


class _LiveServerThread(testcases.LiveServerThread):
    """Serves the site with its websockets."""

    def __init__(
        self,
        host: str,
        static_handler: Any,
        connections_override: dict[str, Any] | None = None,
        port: int = 0,
    ) -> None:
        self._views = _LiveViews(connections_override or {})

        def handler(application: Any) -> Any:
            return wsgi.get_application(static_handler(application), views=self._views)

        super().__init__(host, handler, connections_override, port)  # type: ignore[arg-type]

    def terminate(self) -> None:
        """Stop, and close what is open."""
        super().terminate()
        wsgi.stop_runner()
        self._views.join(PATIENCE)


class LiveServerMixin:
    """Lets a ``LiveServerTestCase`` serve websockets, too, over a real Redis."""

    server_thread_class = _LiveServerThread


class LiveServerTestCase(LiveServerMixin, testcases.LiveServerTestCase):
    """Django's ``LiveServerTestCase``, which serves websockets, too, over a real Redis."""


def _is_misplaced(case: type) -> bool:
    """Return whether the mixin has no test case of Django behind it, which it would extend."""
    behind = case.__mro__[case.__mro__.index(WebSocketTestMixin) :]
    return issubclass(case, unittest.TestCase) and testcases.SimpleTestCase not in behind


def _is_same(payload: RedisMessage, message: Any) -> bool:
    if isinstance(message, (dict, list)):
        try:
            return bool(json.loads(payload) == json.loads(RedisMessage(message)))
        except ValueError:
            return False
    return payload == RedisMessage(message)
