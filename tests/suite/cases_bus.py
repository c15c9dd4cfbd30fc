"""Facilities and publishing, over a bus in memory."""

from __future__ import annotations

import json
import sys
import unittest
from typing import Any
from unittest.mock import patch

from django.contrib.auth.models import Group, User
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings

from tests.suite.cases_views import NoNonsense
from ws4redis.exceptions import BusError
from ws4redis.publisher import RedisPublisher
from ws4redis.redis_client import get_client
from ws4redis.subscriber import RedisSubscriber
from ws4redis.testing import (
    LiveServerTestCase,
    WebSocketClient,
    WebSocketTestMixin,
    captured_messages,
    override_bus,
)

SUITE = override_settings(WEBSOCKET_URLCONF="tests.suite.urls", WS4REDIS_AUTH_SWEEP=None)
CHAT = "/ws/chat?subscribe-broadcast&publish-broadcast&subscribe-user"


EARLY = RedisPublisher(facility="chat", broadcast=True)
"""Made before any test."""


def publish(message: object, facility: str = "chat", **options: object) -> None:
    RedisPublisher(facility=facility, broadcast=True).publish_message(message, **options)


@SUITE
class FacilityTest(NoNonsense, WebSocketTestMixin, TestCase):
    def test_a_publisher_made_before_publishes_here(self) -> None:
        socket = self.client.connect(CHAT)
        EARLY.publish_message("early", expire=5)
        self.assertEqual(socket.receive(), "early")
        self.assertEqual(EARLY.fetch_message(None, "chat"), b"early")

    def test_what_is_published_arrives_in_order(self) -> None:
        socket = self.client.connect(CHAT)
        for number in range(300):
            publish(str(number))
        publish("elsewhere", "other")
        self.assertEqual([socket.receive() for _ in range(300)], [*map(str, range(300))])
        socket.assert_nothing()

    def test_one_hears_another_but_not_itself(self) -> None:
        one, two = self.client.connect(CHAT), self.client.connect(f"{CHAT}&echo")
        one.send("hello")
        self.assertEqual(two.receive(), "hello")
        two.send("myself")
        self.assertEqual([one.receive(), two.receive()], ["myself", "myself"])
        one.assert_nothing()
        two.assert_nothing()

    def test_users_get_their_own(self) -> None:
        john = User.objects.create_user("john")
        self.client.force_login(john)
        mine, other = self.client.connect(CHAT), WebSocketClient().connect(CHAT)
        RedisPublisher(facility="chat", users=[john]).publish_message("for john")
        self.assertEqual(mine.receive(), "for john")
        other.assert_nothing()
        self.assertIn("subscribe-user", other.headers["X-WS4Redis-Refused"])

    def test_the_last_message_is_persisted(self) -> None:
        publish("old", expire=10)
        publish("not kept", expire=0)
        self.assertEqual(self.client.connect(CHAT).receive(), "old")
        self.assertEqual(RedisPublisher().fetch_message(None, "chat", "broadcast"), b"old")

    @override_settings(WS4REDIS_ALLOWED_CHANNELS="tests.policies.only_members")
    def test_policies_decide(self) -> None:
        response = self.client.assert_refused(CHAT, 403)
        self.assertIn(b"Only for members.", response.content)
        self.client.force_login(User.objects.create_user("mary"))
        self.client.connect(CHAT)

    @override_settings(WS4REDIS_ALLOWED_CHANNELS="tests.suite.cases_bus.broken")
    def test_a_policy_that_fails_is_raised_in_the_test(self) -> None:
        with self.assertRaisesRegex(ValueError, "of a policy"):
            self.client.connect(CHAT)
        WebSocketClient(raise_request_exception=False).assert_refused(CHAT, 500)

    @override_settings(WS4REDIS_SUBSCRIBER="tests.suite.cases_bus.Shouting")
    def test_a_subscriber_of_the_site_runs_in_the_transaction(self) -> None:
        Group.objects.create(name="loud")
        one, two = self.client.connect(CHAT), self.client.connect(CHAT)
        one.send("hello")
        self.assertEqual(two.receive(), "HELLO loud")

    def test_who_logs_out_is_shown_the_door(self) -> None:
        self.client.force_login(User.objects.create_user("paul"))
        socket = self.client.connect(CHAT)
        with self.captureOnCommitCallbacks(execute=True):
            self.client.logout()
        socket.assert_closed(4501)

    def test_whose_rights_change_has_to_come_back(self) -> None:
        mary = User.objects.create_user("mary")
        self.client.force_login(mary)
        mine, other = self.client.connect(CHAT), WebSocketClient().connect(CHAT)
        with self.captureOnCommitCallbacks(execute=True):
            mary.groups.add(Group.objects.create(name="chatters"))
        mine.assert_closed(4001)
        other.assert_nothing()
        self.assertFalse(other.closed)

    def test_the_subprotocol_of_the_client_library(self) -> None:
        socket = self.client.connect(CHAT, subprotocols=["ws4redis.v1"])
        self.assertEqual(socket.subprotocol, "ws4redis.v1")
        welcome = socket.receive_json()
        self.assertEqual(welcome["publishes"], ["broadcast:chat"])

    @override_settings(WS4REDIS_HISTORY={"chat": {}})
    def test_histories_are_read_since_a_position(self) -> None:
        first = self.client.connect(CHAT, subprotocols=["ws4redis.v1"])
        position = first.receive_json()["channels"]["broadcast:chat"]["position"]
        for text in ("one", "two"):
            publish(text)
        again = f"{CHAT}&since=broadcast:chat@{position}"
        late = self.client.connect(again, subprotocols=["ws4redis.v1"])
        self.assertIs(late.receive_json()["channels"]["broadcast:chat"]["recovered"], True)
        for socket in (first, late):
            texts = [socket.receive() for _ in range(2)]
            self.assertIn("one", str(texts[0]))
            self.assertIn("two", str(texts[1]))
            socket.assert_nothing()

    @override_settings(WS4REDIS_MAX_CONNECTIONS_PER_ADDRESS=1)
    def test_places_are_given_back(self) -> None:
        socket = self.client.connect(CHAT)
        self.client.assert_refused(CHAT, 429)
        socket.close()
        self.client.connect(CHAT).close()

    def test_views_follow_what_they_publish_only_after_the_commit(self) -> None:
        socket, listener = (
            self.client.connect("/announce/"),
            self.client.connect("/ws/news?subscribe-broadcast"),
        )
        with self.captureOnCommitCallbacks(execute=True):
            socket.send("later")
            self.assertEqual(socket.receive(), "done")
            listener.assert_nothing()
            self.assertEqual(self.published, [])
        self.assertEqual(listener.receive_json(), {"text": "later"})
        self.assertPublished({"text": "later"}, facility="news", broadcast=True)

    def test_what_was_not_published_is_told(self) -> None:
        publish({"a": 1, "b": [2]})
        self.assertPublished({"b": [2], "a": 1}, facility="chat", broadcast=True)
        self.assertPublished(facility="chat", broadcast=True)
        for wrong in (
            {"message": "x", "facility": "chat", "broadcast": True},
            {"message": {"a": 1}, "facility": "chat", "broadcast": True},
            {"facility": "other", "broadcast": True},
            {"facility": "chat", "broadcast": True, "users": ["john"]},
        ):
            with self.assertRaisesRegex(AssertionError, "Not published on"):
                self.assertPublished(**wrong)
        self.assertEqual([one.facility for one in self.published], ["chat"])
        self.assertEqual(self.published[0].json(), {"a": 1, "b": [2]})

    def test_nobody_is_no_audience(self) -> None:
        publish("hello")
        nobody: list[dict[str, Any]] = [
            {},
            {"facility": "chat", "users": []},
            {"facility": "chat", "broadcast": False},
        ]
        for audience in nobody:
            with self.assertRaisesRegex(AssertionError, "Nobody is addressed"):
                self.assertPublished("hello", **audience)

    def test_what_clients_of_a_facility_publish_is_told(self) -> None:
        self.client.connect(CHAT).send("hello")
        self.assertPublished("hello", facility="chat", broadcast=True)
        self.assertEqual(len(self.published), 1)

    @override_settings(WS4REDIS_HISTORY={"chat": {}})
    def test_what_a_key_keeps_back_was_not_published(self) -> None:
        publish("one", idempotency_key="key")
        publish("two", idempotency_key="key")
        publish("three", idempotency_key="other")
        self.assertEqual([str(one.data) for one in self.published], ["one", "three"])

    def test_what_a_redis_refuses_was_not_published(self) -> None:
        with (
            patch.dict(sys.modules, {"fakeredis": None}),
            override_bus(),
            self.assertRaisesRegex(BusError, r"ws4redis\[testing\]"),
        ):
            publish("hello")
        self.assertEqual(self.published, [])

    @override_settings(WEBSOCKET_URLCONF="tests.suite.urls")
    def test_a_view_takes_messages_as_they_come(self) -> None:
        socket = self.client.connect("/lengths/")
        for _ in range(300):
            get_client().publish("BIG", "x" * 4000)
        other = self.client.connect("/lengths/")
        self.assertEqual([socket.receive() for _ in range(300)], ["4000"] * 300)
        other.assert_nothing()

    @override_settings(WS4REDIS_HEARTBEAT="--beat--", WS4REDIS_HEARTBEAT_INTERVAL=4)
    def test_hearts_beat(self) -> None:
        facility, view = self.client.connect(CHAT), self.client.connect("/farewell/")
        facility.advance(60)
        self.assertEqual([facility.receive(0) for _ in range(15)], ["--beat--"] * 15)
        facility.assert_nothing()
        self.assertEqual(facility.receive(timeout=4), "--beat--")
        view.assert_nothing(10)

    @override_settings(WS4REDIS_PING_INTERVAL=10)
    def test_who_answers_pings_stays(self) -> None:
        facility, view = self.client.connect(CHAT), self.client.connect("/clock/")
        facility.advance(100)
        self.assertFalse(facility.closed)
        self.assertEqual(view.receive(), "1 min")

    def test_persisted_messages_expire(self) -> None:
        publish("short", expire=5)
        publish("long", "other", expire=5000)
        socket = self.client.connect(CHAT)
        self.assertEqual(socket.receive(), "short")
        socket.advance(4.5)
        self.assertEqual(self.client.connect(CHAT).receive(), "short")
        socket.advance(1)
        self.client.connect(CHAT).assert_nothing()
        self.assertEqual(self.client.connect("/ws/other?subscribe-broadcast").receive(), "long")


class BasesTest(SimpleTestCase):
    """Where the mixin would do nothing, or harm, it says so."""

    def test_a_live_server_does_not_hear_what_is_published_in_memory(self) -> None:
        with self.assertRaisesRegex(TypeError, "leave out WebSocketTestMixin"):
            type("Case", (WebSocketTestMixin, LiveServerTestCase), {})

    def test_it_stands_before_a_test_case_of_django(self) -> None:
        for bases in (
            (TestCase, WebSocketTestMixin),
            (type("Base", (SimpleTestCase,), {}), WebSocketTestMixin),
            (WebSocketTestMixin, unittest.TestCase),
        ):
            with self.assertRaisesRegex(TypeError, r"class Case\(WebSocketTestMixin, TestCase\)"):
                type("Case", bases, {})
        mixin = type("Mixin", (WebSocketTestMixin,), {})
        type("Case", (mixin, TestCase), {})


class CapturedTest(TestCase):
    @override_settings(WS4REDIS_HISTORY={"chat": {}})
    def test_a_key_publishes_but_once(self) -> None:
        with captured_messages() as messages:
            for text in ("one", "two"):
                publish(text, idempotency_key="key")
            publish("three")
            publish("three")
        self.assertEqual([str(one.data) for one in messages], ["one", "three", "three"])

    def test_without_a_bus(self) -> None:
        with captured_messages() as messages:
            publish("one", expire=5)
            RedisPublisher(facility="chat", users=["john"], groups=["x"]).publish_message(
                "two", expire=0
            )
        self.assertEqual(
            [(one.channel, str(one.data), one.expire) for one in messages],
            [
                ("broadcast:chat", "one", 5),
                ("group:x:chat", "two", 0),
                ("user:john:chat", "two", 0),
            ],
        )
        with override_bus():
            publish("three")
        self.assertEqual(len(messages), 3)

    def test_a_commit_is_awaited(self) -> None:
        with captured_messages() as messages:
            with self.captureOnCommitCallbacks() as callbacks:
                publish("later", on_commit=True)
            self.assertEqual(messages, [])
            callbacks[0]()
            self.assertEqual([str(one.data) for one in messages], ["later"])

    def test_what_is_rolled_back_is_not_published(self) -> None:
        with captured_messages() as messages, self.captureOnCommitCallbacks():
            publish("later", on_commit=True)
        self.assertEqual(messages, [])


class CommittedTest(TransactionTestCase):
    def test_durable_messages_are_captured_once_committed(self) -> None:
        with self.settings(WS4REDIS_HISTORY={"chat": {}}), captured_messages() as messages:
            publish("kept", durable=True)
        self.assertEqual([str(one.data) for one in messages], ["kept"])


@override_bus()
class DecoratedTest(SimpleTestCase):
    def test_a_class(self) -> None:
        publish(json.dumps([1]), expire=5)
        self.assertEqual(self.last(), b"[1]")

    @override_bus()
    def test_a_method_has_a_bus_of_its_own(self) -> None:
        self.assertIsNone(self.last())

    def test_each_test_begins_with_an_empty_one(self) -> None:
        self.assertIsNone(self.last())

    def last(self) -> object:
        return RedisPublisher().fetch_message(None, "chat", "broadcast")


def broken(request: Any, channels: Any) -> Any:
    raise ValueError("of a policy")


class Shouting(RedisSubscriber):
    """Publishes louder, and with what stands in the database."""

    def publish_message(self, message, *args, **kwargs):
        groups = " ".join(Group.objects.values_list("name", flat=True))
        return super().publish_message(f"{str(message).upper()} {groups}", *args, **kwargs)
