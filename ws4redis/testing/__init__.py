"""What tests of sites with websockets need; no part of a site imports it."""

from __future__ import annotations

from ws4redis.testing.bus import override_bus
from ws4redis.testing.cases import LiveServerMixin, LiveServerTestCase, WebSocketTestMixin
from ws4redis.testing.client import HandshakeRefused, TestSocket, WebSocketClient
from ws4redis.testing.published import PublishedMessage, captured_messages

__all__ = [
    "HandshakeRefused",
    "LiveServerMixin",
    "LiveServerTestCase",
    "PublishedMessage",
    "TestSocket",
    "WebSocketClient",
    "WebSocketTestMixin",
    "captured_messages",
    "override_bus",
]
