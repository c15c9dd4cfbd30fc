"""The examples of docs/howto/testing.md."""

from __future__ import annotations

from django.contrib.auth.models import Group, User
from django.test import TestCase, override_settings

from ws4redis.publisher import RedisPublisher
from ws4redis.testing import WebSocketTestMixin


@override_settings(WEBSOCKET_URLCONF="tests.suite.example_urls")
class RoomsTest(WebSocketTestMixin, TestCase):
    def test_john_opens_a_room(self):
        self.client.force_login(User.objects.create_user("john"))
        with self.client.connect("/rooms/") as socket:
            socket.send("kitchen")
            self.assertEqual(socket.receive_json(), {"by": "john", "count": 1})
        self.assertTrue(Group.objects.filter(name="kitchen").exists())

    def test_strangers_stay_outside(self):
        response = self.client.assert_refused("/rooms/", 403)
        self.assertContains(response, "no redirect", status_code=403)

    def test_all_who_chat_hear_each_other(self):
        one = self.client.connect("/chat/")
        two = self.client.connect("/chat/")
        one.send("hello")
        self.assertEqual(two.receive(), "hello")
        # views end


@override_settings(WEBSOCKET_URLCONF="tests.suite.example_urls")
class ClockTest(WebSocketTestMixin, TestCase):
    # time
    def test_the_clock_strikes_each_minute(self):
        socket = self.client.connect("/clock/")
        socket.assert_nothing(59)
        socket.advance(1)
        self.assertEqual(socket.receive(), "1 min")
        self.assertEqual(socket.receive(timeout=60), "2 min")
        # time end


class NewsTest(WebSocketTestMixin, TestCase):
    # publish
    def test_news_are_published(self):
        socket = self.client.connect("/ws/news?subscribe-broadcast")
        with self.captureOnCommitCallbacks(execute=True):
            RedisPublisher(facility="news", broadcast=True).publish_message(
                {"title": "It works"}, on_commit=True
            )
            socket.assert_nothing()
        self.assertEqual(socket.receive_json(), {"title": "It works"})
        self.assertPublished({"title": "It works"}, facility="news", broadcast=True)
        # publish end
