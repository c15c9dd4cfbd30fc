"""The site with its websockets behind a real port, over a real Redis."""

from __future__ import annotations

import contextlib
import json
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from django.contrib.auth.models import Group, User
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.test import Client, SimpleTestCase, override_settings
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.suite import urls
from tests.suite.cases_views import NoNonsense, errors_of
from tests.waiting import PATIENCE, wait_for
from ws4redis.publisher import RedisPublisher
from ws4redis.testing import LiveServerMixin, LiveServerTestCase, cases

SUITE = override_settings(WEBSOCKET_URLCONF="tests.suite.urls", ALLOWED_HOSTS=["localhost"])


class Opens:
    live_server_url: str

    def open(self, path: str, user: User | None = None) -> ClientConnection:
        headers = {"Origin": self.live_server_url}
        if user is not None:
            client = Client()
            client.force_login(user)
            headers["Cookie"] = f"sessionid={client.cookies['sessionid'].value}"
        url = self.live_server_url.replace("http", "ws") + path
        return self.keep(connect(url, additional_headers=headers, proxy=None))

    def keep(self, opening: Any) -> ClientConnection:
        socket: ClientConnection = self.enterContext(opening)  # type: ignore[attr-defined]
        return socket


@SUITE
class LiveTest(Opens, LiveServerTestCase):
    def test_views(self) -> None:
        john = User.objects.create_user("john")
        socket = self.open("/rooms/", john)
        for number in range(1, 6):
            socket.send(f"room {number}")
            expected: dict[str, Any] = {"by": "john", "count": number}
            self.assertEqual(json.loads(socket.recv(PATIENCE)), expected)
            self.assertTrue(Group.objects.filter(name=f"room {number}").exists())
            Group.objects.filter(name="nobody").delete()
        with self.assertRaises(InvalidStatus) as refused:
            self.open("/rooms/")
        self.assertEqual(refused.exception.response.status_code, 403)

    def test_facilities(self) -> None:
        facility = uuid4().hex
        socket = self.open(f"/ws/{facility}?subscribe-user", User.objects.create_user("mary"))
        RedisPublisher(facility=facility, users=["mary"]).publish_message("hello")
        self.assertEqual(socket.recv(PATIENCE), "hello")

    def test_the_end_of_a_view_reaches_the_database(self) -> None:
        self.open("/farewell/").close()
        wait_for(Group.objects.filter(name="closed with 1000").exists)


@SUITE
class LastingViewTest(NoNonsense, SimpleTestCase):
    @override_settings(WS4REDIS_DRAIN_TIME=1)
    def test_views_that_outlive_their_class_fail_it(self) -> None:
        class Case(Opens, LiveServerTestCase):
            def test(self) -> None:
                self.open("/lasting/").recv(PATIENCE)
                self.open("/lasting/").recv(PATIENCE)
                self.open("/echo/")

        self.addCleanup(urls.ENOUGH.set)
        with patch.object(cases, "PATIENCE", 0.5):
            self.assertIn("not ended with their websockets: 2.", errors_of(Case))


@SUITE
class StaticLiveTest(LiveServerMixin, Opens, StaticLiveServerTestCase):
    def test_pages_files_and_websockets(self) -> None:
        import urllib.request

        for path in ("/static/js/ws4redis.js", "/"):
            with urllib.request.urlopen(self.live_server_url + path) as answer:
                self.assertEqual(answer.status, 200)
        socket = self.open("/echo/")
        socket.send("hello")
        self.assertEqual(socket.recv(PATIENCE), "hello")


class EndTest(Opens, LiveServerTestCase):
    """The loop has the settings of this class, and ends with it."""

    left: ClientConnection

    @classmethod
    def setUpClass(cls) -> None:
        cls.enterClassContext(override_settings(WS4REDIS_MAX_MESSAGE_SIZE=10))
        # The server is stopped before.
        cls.addClassCleanup(cls.check)
        super().setUpClass()

    def keep(self, opening: Any) -> ClientConnection:
        # Not left at the end of the test.
        socket: ClientConnection = opening.__enter__()
        return socket

    def test_settings_hold(self) -> None:
        socket = self.open("/ws/end?publish-broadcast")
        socket.send("x" * 11)
        with self.assertRaises(ConnectionClosed):
            socket.recv(PATIENCE)
        self.assertEqual(socket.close_code, 1009)
        type(self).left = self.open("/ws/end?subscribe-broadcast")

    @classmethod
    def check(cls) -> None:
        with cls.left, contextlib.suppress(ConnectionClosed):
            cls.left.recv(PATIENCE)
        assert cls.left.close_code in (1001, 1012), cls.left.close_code
