"""Test cases for sites with websockets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.test import testcases

from ws4redis import wsgi
from ws4redis.publisher import RedisPublisher
from ws4redis.redis_store import RedisMessage
from ws4redis.testing.bus import override_bus
from ws4redis.testing.client import WebSocketClient
from ws4redis.testing.published import PublishedMessage, captured_messages

if TYPE_CHECKING:
    from django.test import SimpleTestCase as _Case
else:
    _Case = object

_ANYTHING = object()


class WebSocketTestMixin(_Case):
    """For ``TestCase`` and its like: a bus in memory, ``self.client.connect()``, and a record."""

    client: WebSocketClient
    client_class = WebSocketClient
    published: list[PublishedMessage]
    """What this test has published."""

    def setUp(self) -> None:
        """Begin with an empty bus."""
        super().setUp()
        bus = override_bus()
        bus.enable()
        self.addCleanup(bus.disable)
        self.published = self.enterContext(captured_messages())

    def assertPublished(self, message: Any = _ANYTHING, **audience: Any) -> None:
        """See that a message was published on all channels of an audience.

        Args:
            message: What was said, as given to the publisher; anything if it is left out.
            audience: The arguments of ``RedisPublisher``: ``facility="chat", users=["john"]``.
        """
        for channel in sorted(RedisPublisher(**audience)._publishers):
            said = [one for one in self.published if one.channel == channel]
            if not any(message is _ANYTHING or _is_same(one.data, message) for one in said):
                shown = [str(one.data) for one in said]
                self.fail(f"Not published on {channel!r}: {message!r}. There was {shown}.")


class _LiveServerThread(testcases.LiveServerThread):
    """Serves the site with its websockets."""

    def __init__(self, host: str, static_handler: Any, *args: Any, **kwargs: Any) -> None:
        def handler(application: Any) -> Any:
            return wsgi.get_application(static_handler(application))

        super().__init__(host, handler, *args, **kwargs)

    def terminate(self) -> None:
        """Stop, and close what is open."""
        super().terminate()
        wsgi.stop_runner()


class LiveServerMixin:
    """Lets a ``LiveServerTestCase`` serve websockets, too, over a real Redis."""

    server_thread_class = _LiveServerThread


class LiveServerTestCase(LiveServerMixin, testcases.LiveServerTestCase):
    """Django's ``LiveServerTestCase``, which serves websockets, too, over a real Redis."""


def _is_same(payload: RedisMessage, message: Any) -> bool:
    if isinstance(message, (dict, list)):
        try:
            return bool(json.loads(payload) == json.loads(RedisMessage(message)))
        except ValueError:
            return False
    return payload == RedisMessage(message)
