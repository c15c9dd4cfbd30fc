"""Views, without a server and without Redis."""

from __future__ import annotations

import logging
import re
import sys
import unittest
from typing import Any
from unittest.mock import patch

from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings

from ws4redis.exceptions import BusError
from ws4redis.redis_client import get_client
from ws4redis.testing import HandshakeRefused, WebSocketClient, WebSocketTestMixin, override_bus

SUITE = override_settings(WEBSOCKET_URLCONF="tests.suite.urls")


class NoNonsense:
    """Without the log lines of what is meant to be refused."""

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        logging.disable(logging.ERROR)
        self.addCleanup(logging.disable, logging.NOTSET)  # type: ignore[attr-defined]


@SUITE
@override_bus()
class ViewTest(NoNonsense, TestCase):
    client: WebSocketClient
    client_class = WebSocketClient

    def test_messages_come_back_in_order(self) -> None:
        with self.client.connect("/echo/") as socket:
            for message in ("grüße", b"\x00\xff", "", "x" * 100_000):
                socket.send(message)
            self.assertEqual(
                [socket.receive() for _ in range(4)], ["grüße", b"\x00\xff", "", "x" * 100_000]
            )
            for number in range(200):
                socket.send(str(number))
            self.assertEqual([socket.receive() for _ in range(200)], [*map(str, range(200))])
            socket.assert_nothing()

    def test_who_logs_in_is_known_and_the_transaction_is_shared(self) -> None:
        Group.objects.create(name="before")
        self.client.force_login(User.objects.create_user("john"))
        with self.client.connect("/rooms/") as socket:
            with self.assertNumQueries(2):
                socket.send("one")
            self.assertEqual(socket.receive_json(), {"by": "john", "count": 2})
        self.assertTrue(Group.objects.filter(name="one").exists())
        with self.client.connect("/inside/") as socket:
            self.assertIs(socket.receive_json(), True)

    def test_nothing_is_left_by_another_test(self) -> None:
        self.assertFalse(Group.objects.exists())

    def test_a_refusal_carries_its_answer(self) -> None:
        with self.assertRaises(HandshakeRefused) as refused:
            self.client.connect("/rooms/")
        self.assertEqual(refused.exception.response.status_code, 403)
        self.assertIn(b"no redirect", refused.exception.response.content)
        self.client.assert_refused("/deny/", 404)
        self.client.assert_refused("/nowhere/", 404)
        self.client.assert_refused("/echo/", 403, headers={"Origin": "http://evil.example"})
        for path, status, said in (("/echo/", 403, "was opened"), ("/deny/", 403, "with 404")):
            with self.assertRaisesRegex(AssertionError, said):
                self.client.assert_refused(path, status)

    @override_settings(MIDDLEWARE=["tests.suite.cases_views.closed"])
    def test_middleware_may_refuse(self) -> None:
        self.client.assert_refused("/echo/", 403)

    def test_subprotocol_headers_and_close_code(self) -> None:
        socket = self.client.connect(
            "/negotiate/", subprotocols=["a", "b"], headers={"X-Asked": "why"}, secure=True
        )
        self.assertEqual(socket.subprotocol, "b")
        self.assertEqual(socket.headers["X-Own"], "yes")
        self.assertEqual(socket.receive(), "why https://testserver")
        socket.assert_closed(4000)
        self.assertEqual((socket.closed, socket.close_reason), (True, "enough"))
        for action in (lambda: socket.send("x"), socket.receive, lambda: socket.assert_closed(1)):
            with self.assertRaisesRegex(AssertionError, r"4000 \(enough\)"):
                action()

    def test_what_no_browser_opens_is_not_opened(self) -> None:
        for path in ("/farewell/", "/ws/chat?subscribe-broadcast"):
            with self.assertRaisesRegex(AssertionError, "No browser opens"):
                self.client.connect(path, subprotocols=["a"])
        self.assertTrue(Group.objects.filter(name="closed with 1006").exists())

    def test_no_time_passes_but_where_the_test_says_so(self) -> None:
        with self.client.connect("/clock/") as socket:
            socket.assert_nothing(59)
            socket.assert_nothing(0.9)
            socket.advance(0.1)
            self.assertEqual(socket.receive(), "1 min")
            with self.assertRaisesRegex(AssertionError, "nothing came in 1 s"):
                socket.receive()
            self.assertEqual(socket.receive(timeout=60), "2 min")
            with self.assertRaisesRegex(AssertionError, "'3 min' came"):
                socket.assert_nothing(60)
            socket.advance(3600)
            self.assertEqual([socket.receive() for _ in range(61)][-1], "63 min")

    def test_a_view_that_never_waits_long_lets_the_test_go_on(self) -> None:
        with self.client.connect("/poll/") as socket:
            socket.send("a")
            socket.send("b")
            self.assertEqual(socket.receive(), "a b")

    def test_an_exception_of_a_view_is_raised_in_the_test(self) -> None:
        with self.assertRaisesRegex(ValueError, "of the view"):
            self.client.connect("/fail/early/")
        socket = self.client.connect("/fail/late/")
        with self.assertRaisesRegex(ValueError, "of the view"):
            socket.send("go on")
        socket.assert_closed(1011)

    def test_or_it_is_what_a_browser_sees(self) -> None:
        client = WebSocketClient(raise_request_exception=False)
        client.assert_refused("/fail/early/", 500)
        socket = client.connect("/fail/late/")
        socket.send("go on")
        socket.assert_closed(1011)

    def test_a_view_sees_that_its_client_goes(self) -> None:
        self.client.connect("/farewell/").close(4321, "bye")
        self.assertTrue(Group.objects.filter(name="closed with 4321").exists())

    def test_who_needs_a_bus_is_told_so(self) -> None:
        with patch.dict(sys.modules, {"fakeredis": None}), override_bus():
            for path in ("/chat/", "/announce/", "/ws/chat?subscribe-broadcast"):
                with self.assertRaisesRegex(BusError, r"ws4redis\[testing\]"):
                    self.client.connect(path).send("x")
            quiet = WebSocketClient(raise_request_exception=False)
            quiet.connect("/chat/").assert_closed(1013)
            with self.captureOnCommitCallbacks(execute=True):
                self.client.force_login(User.objects.create_user("john"))
                self.client.logout()
            self.test_messages_come_back_in_order()

    def test_who_waits_in_a_way_of_its_own_is_told_so(self) -> None:
        with self.assertRaisesRegex(NotImplementedError, "LiveServerTestCase"):
            self.client.connect("/selecting/")

    @override_settings(WS4REDIS_OUTBOX_SIZE=10_000)
    def test_a_view_waits_for_a_test_that_does_not_receive(self) -> None:
        socket, other = self.client.connect("/flood/800/"), self.client.connect("/echo/")
        other.send("meanwhile")
        self.assertEqual(other.receive(), "meanwhile")
        self.assertFalse(Group.objects.exists())
        numbers = [int(str(socket.receive()).split()[0]) for _ in range(100)]
        self.assertEqual(numbers, [*range(100)])
        with self.assertRaisesRegex(AssertionError, r"open; \d messages wait for receive\(\)"):
            socket.assert_closed()
        socket.close(4321)
        sent, code = Group.objects.get().name.split()[1:]
        self.assertLess(int(sent.rstrip(",")), 110)
        self.assertEqual(code, "4321")

    @override_settings(WS4REDIS_OUTBOX_SIZE=10_000)
    def test_one_message_may_be_of_any_size(self) -> None:
        socket = self.client.connect("/flood/50000/")
        self.assertEqual([len(socket.receive()) for _ in range(3)], [50_002] * 3)

    @override_settings(WS4REDIS_OUTBOX_SIZE=10_000)
    def test_who_still_waits_ends_with_the_test(self) -> None:
        with override_bus():
            self.client.connect("/flood/800/")
        self.assertTrue(Group.objects.get().name.endswith(", 1006"))

    def test_what_is_no_message_is_told(self) -> None:
        socket = self.client.connect("/echo/")
        for wrong in ({"a": 1}, ["a"], 1, None):
            with self.assertRaisesRegex(TypeError, "got .*send_json"):
                socket.send(wrong)  # type: ignore[arg-type]
        socket.send(bytearray(b"a"))
        self.assertEqual(socket.receive(), b"a")

    def test_a_refusal_tells_its_status_and_what_is_no_page(self) -> None:
        for path, said in (
            ("/deny/", "/deny/ was refused with 404 Not Found"),
            ("/rooms/", "/rooms/ was refused with 403 Forbidden: Websockets follow no redirect"),
            ("/members/", "/members/ was refused with 403 Forbidden: For members."),
        ):
            with self.assertRaisesRegex(HandshakeRefused, f"^{said}") as refused:
                self.client.connect(path)
            self.assertNotIn("<", str(refused.exception))

    def test_what_fails_around_a_view_is_raised_in_the_test(self) -> None:
        failing = override_settings(MIDDLEWARE=["tests.suite.cases_views.failing"])
        for path, kind in (("/leave/", RuntimeError), ("/fail/early/", ValueError)):
            with self.assertRaises(kind) as failed:
                self.client.connect(path)
            self.assertIn("of the view", str(failed.exception.__cause__ or failed.exception))
        with failing, self.assertRaisesRegex(LookupError, "of a middleware"):
            self.client.connect("/echo/")
        quiet = WebSocketClient(raise_request_exception=False)
        quiet.assert_refused("/leave/", 500)
        with failing:
            quiet.assert_refused("/echo/", 500)

    def test_bars_of_the_site_hold(self) -> None:
        with self.settings(WS4REDIS_MAX_MESSAGE_SIZE=1000):
            socket = self.client.connect("/echo/")
            socket.send("x" * 1001)
            socket.assert_closed(1009)


def closed(get_response: Any) -> Any:
    def middleware(request: Any) -> Any:
        raise PermissionDenied

    return middleware


def failing(get_response: Any) -> Any:
    def middleware(request: Any) -> Any:
        raise LookupError("of a middleware")

    return middleware


@SUITE
@override_bus()
class TransactionTest(TransactionTestCase):
    client: WebSocketClient
    client_class = WebSocketClient

    def test_a_view_writes_what_the_test_reads(self) -> None:
        self.client.force_login(User.objects.create_user("john"))
        with self.client.connect("/rooms/") as socket:
            Group.objects.create(name="after")
            socket.send("one")
            self.assertEqual(socket.receive_json(), {"by": "john", "count": 2})
        with self.client.connect("/inside/") as socket:
            self.assertIs(socket.receive_json(), False)


@SUITE
class ChannelTest(WebSocketTestMixin, TestCase):
    def test_a_chat(self) -> None:
        one, two = self.client.connect("/chat/"), WebSocketClient().connect("/chat/")
        one.send("hello")
        self.assertEqual([one.receive(), two.receive()], ["hello", "hello"])
        two.close()
        one.send("still there?")
        self.assertEqual(one.receive(), "still there?")
        self.assertEqual([str(said.data) for said in self.published], ["hello", "still there?"])


@SUITE
class LeftOpenTest(NoNonsense, TestCase):
    def test_all_websockets_end_with_the_bus(self) -> None:
        with override_bus():
            WebSocketClient().connect("/farewell/")
        self.assertTrue(Group.objects.filter(name="closed with 1006").exists())

    def test_the_newest_ends_first_as_transactions_do(self) -> None:
        with self.assertRaisesRegex(ValueError, "of the view at-end"), override_bus():
            for path in ("/depths/1/", "/undo/"):
                WebSocketClient().connect(path)
        names = Group.objects.values_list("name", flat=True)
        self.assertEqual([*names], ["0 of 1"])

    def test_what_would_not_end_with_the_test_is_not_opened(self) -> None:
        with self.assertRaisesRegex(RuntimeError, "WebSocketTestMixin, or override_bus"):
            WebSocketClient().connect("/farewell/")

    def test_what_would_end_after_the_transaction_of_its_class_is_not_opened(self) -> None:
        class Case(WebSocketTestMixin, TestCase):
            @classmethod
            def setUpTestData(cls) -> None:
                WebSocketClient().connect("/farewell/")

            def test(self) -> None: ...

        self.assertIn("WebSocketTestMixin, or override_bus", errors_of(Case))
        self.assertFalse(Group.objects.exists())


class Leaving(WebSocketTestMixin):
    """Tests that leave views behind, which wait in transactions."""

    def setUp(self) -> None:
        super().setUp()
        User.objects.create_user("john")

    def open(self, *depths: int) -> None:
        for depth in depths:
            self.assertEqual(self.client.connect(f"/depths/{depth}/").receive(), "in")

    def one(self) -> None:
        self.open(1)

    def nested(self) -> None:
        self.open(3)

    def several(self) -> None:
        self.open(2, 1)

    def inside(self) -> None:
        with transaction.atomic():
            self.open(2)

    def fails(self) -> None:
        self.open(2)
        self.fail("as it should")

    def fails_inside(self) -> None:
        with transaction.atomic():
            self.open(2)
            self.fail("as it should")


@SUITE
class LeftInTransactionTest(NoNonsense, TransactionTestCase):
    def test_nothing_is_left_to_the_next_test(self) -> None:
        names = ("one", "nested", "several", "fails", "inside", "fails_inside", "one")
        for base in (TestCase, TransactionTestCase):
            for name in names:
                with self.subTest(base=base.__name__, name=name):
                    failures = ["AssertionError: as it should"] if "fails" in name else []
                    said = errors_of(type("Case", (Leaving, base), {}), name)
                    self.assertEqual(re.findall("^[A-Za-z.]*Error.*", said, re.M), failures)
                    self.assertFalse(connection.in_atomic_block)
                    self.assertFalse(User.objects.exists() or Group.objects.exists())


@SUITE
class FailingViewTest(NoNonsense, SimpleTestCase):
    def test_a_view_that_fails_at_the_end_fails_the_test(self) -> None:
        class Case(WebSocketTestMixin, SimpleTestCase):
            def test(self) -> None:
                self.client.connect("/fail/at-end/")

        self.assertIn("ValueError: of the view at-end", errors_of(Case))

    def test_but_not_where_a_browser_would_see_it(self) -> None:
        class Case(WebSocketTestMixin, SimpleTestCase):
            def test(self) -> None:
                WebSocketClient(raise_request_exception=False).connect("/fail/at-end/")

        self.assertEqual(errors_of(Case), "")

    def test_of_several_none_is_lost(self) -> None:
        with override_bus():
            one, two = (WebSocketClient().connect(f"/fail/{n}-told/") for n in "12")
            get_client().publish("GO", "x")
            with self.assertRaisesRegex(ValueError, "1-told"):
                one.assert_nothing()
            with self.assertRaisesRegex(ValueError, "2-told"):
                one.assert_nothing()
            two.assert_closed(1011)

    def test_the_end_tells_all_that_are_left(self) -> None:
        with self.assertRaises(ExceptionGroup) as group, override_bus():
            for name in ("late", "1-told", "2-told"):
                WebSocketClient().connect(f"/fail/{name}/")
            get_client().publish("GO", "x")
        names = sorted(str(one) for one in group.exception.exceptions)
        expected = ["1-told", "2-told", "late"]
        self.assertEqual(names, [f"of the view {name}" for name in expected])

    @override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True)
    def test_one_failure_is_one(self) -> None:
        with override_bus():
            with self.assertRaisesRegex(ValueError, "early"):
                WebSocketClient().connect("/fail/early/")
            socket = WebSocketClient().connect("/fail/late/")
            with self.assertRaisesRegex(ValueError, "late"):
                socket.send("go on")

    def test_whose_view_it_is_decides_whether_it_is_raised(self) -> None:
        with override_bus():
            quiet = WebSocketClient(raise_request_exception=False).connect("/fail/1-told/")
            loud = WebSocketClient().connect("/fail/2-told/")
            get_client().publish("GO", "x")
            with self.assertRaisesRegex(ValueError, "2-told"):
                quiet.assert_nothing()
            loud.assert_closed(1011)
            quiet.assert_closed(1011)


def errors_of(case: type[SimpleTestCase], name: str = "test") -> str:
    """Run one test of a case; return what went wrong."""
    result = unittest.TestResult()
    unittest.TestSuite([case(name)]).run(result)
    return "".join(said for _, said in result.errors + result.failures)
