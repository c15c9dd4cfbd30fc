"""Views, without a server and without Redis."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.test import TestCase, TransactionTestCase, override_settings

from ws4redis.exceptions import BusError
from ws4redis.testing import HandshakeRefused, WebSocketClient, WebSocketTestMixin, override_bus

SUITE = override_settings(WEBSOCKET_URLCONF="tests.suite.urls")


class NoNonsense:
    """Without the log lines of what is meant to be refused."""

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        logging.disable(logging.ERROR)
        self.addCleanup(logging.disable, logging.NOTSET)  # type: ignore[attr-defined]


@SUITE
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
        for path in ("/chat/", "/ws/chat?subscribe-broadcast"):
            with self.assertRaisesRegex(BusError, "override_bus"):
                self.client.connect(path)

    def test_who_waits_in_a_way_of_its_own_is_told_so(self) -> None:
        with self.assertRaisesRegex(NotImplementedError, "LiveServerTestCase"):
            self.client.connect("/selecting/")

    def test_bars_of_the_site_hold(self) -> None:
        with self.settings(WS4REDIS_MAX_MESSAGE_SIZE=1000):
            socket = self.client.connect("/echo/")
            socket.send("x" * 1001)
            socket.assert_closed(1009)


def closed(get_response: Any) -> Any:
    def middleware(request: Any) -> Any:
        raise PermissionDenied

    return middleware


@SUITE
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


class LeftOpenTest(TestCase):
    def test_all_websockets_end_with_their_client(self) -> None:
        with self.settings(WEBSOCKET_URLCONF="tests.suite.urls"):
            client = WebSocketClient()
            client.connect("/farewell/")
            del client
            self.assertTrue(Group.objects.filter(name="closed with 1006").exists())

    def test_all_websockets_end_with_the_bus(self) -> None:
        with self.settings(WEBSOCKET_URLCONF="tests.suite.urls"):
            with override_bus():
                WebSocketClient().connect("/farewell/")
            self.assertTrue(Group.objects.filter(name="closed with 1006").exists())
