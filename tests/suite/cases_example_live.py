"""The example of docs/howto/testing.md with a real server."""

from __future__ import annotations

from django.test import override_settings
from websockets.sync.client import connect

from ws4redis.testing import LiveServerTestCase


@override_settings(WEBSOCKET_URLCONF="tests.suite.example_urls")
class RealTest(LiveServerTestCase):
    def test_over_the_wire(self):
        url = self.live_server_url.replace("http://", "ws://")
        with connect(f"{url}/chat/", origin=self.live_server_url) as socket:
            socket.send("hello")
            self.assertEqual(socket.recv(timeout=10), "hello")
