"""Handlers of an app, and tokens, on real servers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.sync.client import ClientConnection

from tests.acceptance.test_v1 import Client
from tests.chromium import chromium
from tests.raw import RawClient
from tests.servers import ROOT, RedisServer, Server, serving
from tests.settings import INSTALLED_APPS
from tests.waiting import PATIENCE, wait_for
from ws4redis.tokens import tickets
from ws4redis.wire.close import CloseCode

Open = Callable[..., ClientConnection]

KINDS = ("serve", "runserver", "gunicorn-gevent")
APPS = [*INSTALLED_APPS, "tests.handling", "rest_framework", "rest_framework.authtoken"]
METHODS = ["ws4redis.tokens.tickets.authenticate", "ws4redis.tokens.rest_framework.authenticate"]
SITE = {
    # All of it, as a test reads it.
    "LOGGING": {
        "version": 1,
        "handlers": {"all": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["all"], "level": "DEBUG"},
        "loggers": {"django": {"level": "DEBUG"}, "ws4redis": {"level": "DEBUG"}},
    },
    "INSTALLED_APPS": APPS,
    "WEBSOCKET_URLCONF": "tests.handling.urls",
    "WS4REDIS_TOKEN_AUTH": METHODS,
    "WS4REDIS_PROCESS_REQUEST": "ws4redis.tokens.process_request",
    "WS4REDIS_SUBPROTOCOLS": ["ws4redis"],
}


@pytest.fixture(scope="module")
def token(users: Any) -> str:
    """John's token of Django REST framework."""
    environment = {**os.environ, "WS4REDIS_TEST_SETTINGS": json.dumps({"INSTALLED_APPS": APPS})}
    for command in (["migrate", "authtoken"], ["drf_create_token", "john"]):
        done = subprocess.run(
            [sys.executable, "-m", "django", *command],
            **{"cwd": ROOT, "env": environment, "capture_output": True, "text": True},
            check=True,
        )
    # Generated token … for user john
    return done.stdout.split()[2]


@pytest.fixture(scope="module", params=KINDS)
def site(
    request: pytest.FixtureRequest, directory: Path, redis_server: RedisServer, token: str
) -> Iterator[Server]:
    with serving(request.param, directory, redis_server.url, **SITE) as running:
        yield running


def status(site: Server, path: str, **changes: str) -> str:
    """Return the status line and the body of what a handshake is answered with."""
    answer = RawClient.ask(
        site, f"/{path}", {name.replace("_", "-"): changes[name] for name in changes}
    )
    return answer.split("\r\n")[0].partition(" ")[2] + " " + answer.partition("\r\n\r\n")[2]


def test_the_echo_of_the_document(site: Server, open_websocket: Open) -> None:
    websocket = open_websocket(site.address("/echo/"))
    websocket.send("hello")
    assert websocket.recv(PATIENCE) == "hello"
    with pytest.raises(ConnectionClosedOK):
        websocket.recv(PATIENCE)


def test_a_plain_function_is_a_handler(site: Server, open_websocket: Open) -> None:
    websocket = open_websocket(site.address("/plain/?who=me"))
    websocket.send("hello")
    websocket.send(b"\x00\xff")
    assert [websocket.recv(PATIENCE), websocket.recv(PATIENCE)] == ["me: hello", b"\x00\xff"]


def test_a_route_captures(site: Server, open_websocket: Open) -> None:
    assert open_websocket(site.address("/rooms/5/")).recv(PATIENCE) == "room 5"
    assert status(site, "rooms/five/").startswith("404 ")


def test_a_handler_that_fails_is_closed_and_logged(site: Server, open_websocket: Open) -> None:
    for path, text in (
        ("fails/", "RuntimeError: a handler that fails"),
        ("yields/", "TypeError: A handler may only 'yield from'"),
    ):
        websocket = open_websocket(site.address("/" + path))
        websocket.send("go")
        with pytest.raises(ConnectionClosedError) as closed:
            websocket.recv(PATIENCE)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "")
        wait_for(lambda text=text: text in site.log)


def test_the_message_pusher_of_the_document(
    site: Server, open_websocket: Open, token: str, redis_client: Any, facility: str
) -> None:
    websocket = open_websocket(
        site.address(f"/messages/?channel={facility}"), headers={"Authorization": f"Bearer {token}"}
    )
    wait_for(lambda: redis_client.publish(facility, "one"))
    redis_client.publish(facility, "two")
    for body in ("one", "two"):
        told = json.loads(websocket.recv(PATIENCE))
        assert told == {facility: {"reader": "john", "body": body}}


@pytest.mark.parametrize("messages", [["x"] * 60, ["x" * 400_000] * 3], ids=["many", "large"])
def test_who_does_not_receive_still_is_pushed_to(
    site: Server,
    open_websocket: Open,
    token: str,
    redis_client: Any,
    facility: str,
    messages: list[str],
) -> None:
    before = len(site.log)
    websocket = open_websocket(
        site.address(f"/messages/?channel={facility}&token={token}"),
    )
    for message in messages:
        websocket.send(message)
    wait_for(lambda: redis_client.publish(facility, "one"))
    assert "one" in websocket.recv(PATIENCE)
    wait_for(lambda: "beyond 32, or 1048576 bytes, are dropped" in site.log[before:])


class Subscriber:
    """Talks to the handler ``subscriptions``."""

    def __init__(self, websocket: ClientConnection, redis_client: Any) -> None:
        self._websocket = websocket
        self.publish = redis_client.publish

    def ask(self, action: str, channel: str = "") -> str:
        self._websocket.send(json.dumps({"action": action, "channel": channel}))
        return self.read()

    def read(self) -> str:
        return str(self._websocket.recv(PATIENCE))


@pytest.fixture
def subscriber(site: Server, open_websocket: Open, redis_client: Any) -> Subscriber:
    return Subscriber(open_websocket(site.address("/subscriptions/")), redis_client)


def test_a_manager_subscribes_and_stops_channels(subscriber: Subscriber, facility: str) -> None:
    one, two = f"{facility}-1", f"{facility}-2"
    assert subscriber.ask("subscribe", one) == f"subscribe: {one}"
    assert subscriber.ask("subscribe", two) == f"subscribe: {one} {two}"
    subscriber.publish(one, "a")
    subscriber.publish(two, "b")
    assert {subscriber.read(), subscriber.read()} == {f"{one}: a", f"{two}: b"}
    assert subscriber.ask("unsubscribe", one) == f"unsubscribe: {two}"
    wait_for(lambda: subscriber.publish(one, "to nobody") == 0)
    assert subscriber.ask("stop") == "stop: "
    wait_for(lambda: subscriber.publish(two, "to nobody") == 0)


def test_a_callback_that_returns_nothing_true_ends_its_reader(
    subscriber: Subscriber, facility: str
) -> None:
    one, two = f"{facility}-1", f"{facility}-2"
    subscriber.ask("subscribe", one)
    subscriber.ask("subscribe", two)
    # What is behind it may be waiting already.
    for message in ("first", "last", "never"):
        subscriber.publish(one, message)
    subscriber.publish(two, "still")
    assert [subscriber.read() for _ in range(3)] == [
        f"{one}: first",
        f"{one}: last",
        f"{two}: still",
    ]
    assert subscriber.ask("look") == f"look: {two}"


def test_a_callback_that_fails_ends_nothing(
    site: Server, subscriber: Subscriber, facility: str
) -> None:
    subscriber.ask("subscribe", facility)
    subscriber.publish(facility, "fail")
    subscriber.publish(facility, "receive")
    subscriber.publish(facility, "fine")
    assert subscriber.read() == f"{facility}: fine"
    wait_for(lambda: "ValueError: a callback that fails" in site.log)
    wait_for(lambda: "RuntimeError: A callback can't wait" in site.log)


def test_two_readers_of_a_channel_both_get_all_and_go_alone(
    site: Server, open_websocket: Open, redis_client: Any, facility: str
) -> None:
    one, two = (
        Subscriber(open_websocket(site.address("/subscriptions/")), redis_client) for _ in range(2)
    )
    one.ask("subscribe", facility)
    two.ask("subscribe", facility)
    redis_client.publish(facility, "both")
    assert one.read() == two.read() == f"{facility}: both"
    one.ask("stop")
    redis_client.publish(facility, "the other")
    assert two.read() == f"{facility}: the other"


def test_channels_are_left_when_the_client_goes(
    site: Server, open_websocket: Open, redis_client: Any, facility: str
) -> None:
    websocket = open_websocket(site.address("/subscriptions/"))
    assert Subscriber(websocket, redis_client).ask("subscribe", facility)
    assert redis_client.publish(facility, "here") == 1
    websocket.close()
    wait_for(lambda: redis_client.publish(facility, "gone") == 0)


@pytest.mark.parametrize("path", ["private/", "messages/"])
def test_missing_and_wrong_tokens_get_the_same_403(site: Server, path: str) -> None:
    refused = "403 Forbidden A valid token is needed.\n"
    assert status(site, path) == refused
    assert status(site, f"{path}?token=wrong") == refused
    assert status(site, f"{path}?token=") == refused
    assert status(site, f"{path}?token=%00") == refused
    assert status(site, path, Authorization="Bearer wrong") == refused
    assert status(site, path, Authorization="Bearer") == refused
    assert status(site, path, Sec_WebSocket_Protocol="ws4redis, ws4redis.token.wrong") == refused


def test_a_token_in_each_place_logs_in_and_is_taken_out(
    site: Server, open_websocket: Open, token: str
) -> None:
    by_header = open_websocket(
        site.address("/private/?a=b"), headers={"Authorization": f"bearer {token}"}
    )
    by_address = open_websocket(site.address(f"/private/?token={token}&a=b"))
    for websocket in (by_header, by_address):
        assert json.loads(websocket.recv(PATIENCE)) == ["john", "/private/?a=b", [], []]
        assert websocket.subprotocol is None
    by_subprotocol = open_websocket(
        site.address("/private/?a=b"), subprotocols=["ws4redis", f"ws4redis.token.{token}"]
    )
    assert json.loads(by_subprotocol.recv(PATIENCE)) == [
        *["john", "/private/?a=b"],
        *[["ws4redis"], ["Sec-Websocket-Protocol"]],
    ]
    assert by_subprotocol.subprotocol == "ws4redis"


def test_a_token_is_never_answered(site: Server, token: str) -> None:
    changes: dict[str, str | None] = {"Sec-WebSocket-Protocol": f"ws4redis.token.{token}"}
    answer = RawClient.ask(site, "/private/", changes)
    assert answer.startswith("HTTP/1.1 101 ")
    assert token not in answer


def test_a_ticket_opens_one_websocket(site: Server, open_websocket: Open, users: Any) -> None:
    ticket = tickets.issue(users["mary"])
    websocket = open_websocket(site.address(f"/private/?token={ticket}"))
    assert json.loads(websocket.recv(PATIENCE))[0] == "mary"
    assert status(site, f"private/?token={ticket}").startswith("403 ")


def test_facilities_take_tokens_too(
    site: Server, open_websocket: Open, token: str, facility: str, redis_client: Any
) -> None:
    path = f"ws/{facility}?subscribe-user"
    assert status(site, path) == "403 Forbidden A valid token is needed.\n"
    assert status(site, f"{path}&token=wrong") == "403 Forbidden A valid token is needed.\n"
    by_subprotocol = open_websocket(
        site.address("/" + path), subprotocols=["ws4redis", f"ws4redis.token.{token}"]
    )
    assert by_subprotocol.subprotocol == "ws4redis"
    by_address = open_websocket(site.address(f"/{path}&token={token}"))
    redis_client.publish(f"user:john:{facility}", "for john")
    assert by_subprotocol.recv(PATIENCE) == by_address.recv(PATIENCE) == "for john"


def test_no_token_is_in_the_log(site: Server, open_websocket: Open, token: str, users: Any) -> None:
    good, bad = ["101"] * 3, ["403"] * 3
    answers = {
        token: (good, good),
        "guessed-0123456789": (bad, bad),
        tickets.issue(users["mary"]): (["101", "403", "403"], bad),
    }
    for secret, (of_view, of_facility) in answers.items():
        assert statuses(site, "private/", secret) == of_view
        assert statuses(site, "ws/x", secret) == of_facility
        # It asks for no token.
        assert statuses(site, "fails/", secret) == good
    assert status(site, f"missing/?token={token}").startswith("404 ")
    wait_for(lambda: "missing" in site.log)
    assert [secret for secret in answers if secret in site.log] == []


def statuses(site: Server, path: str, token: str) -> list[str]:
    """Return what a handshake is answered with that hands a token in in each place."""
    answers = (
        status(site, f"{path}?token={token}"),
        status(site, path, Authorization=f"Bearer {token}"),
        status(site, path, Sec_WebSocket_Protocol=f"ws4redis.token.{token}"),
    )
    return [answer[:3] for answer in answers]


def test_no_token_is_in_the_log_of_uwsgi_as_documented(
    directory: Path, redis_server: RedisServer, token: str
) -> None:
    page = (ROOT / "docs" / "howto" / "tokens.md").read_text()
    line = re.search("^log-format = .*$", page, re.MULTILINE)[0]
    changes = {"master = true": f"master = true\n{line}"}
    with serving("uwsgi-router", directory, redis_server.url, changes, **SITE) as running:
        assert status(running, f"private/?token={token}").startswith("101 ")
        assert status(running, "private/?token=guessed").startswith("403 ")
        wait_for(lambda: "GET /private/ HTTP/1.1 403 " in running.log)
        assert token not in running.log
        assert "guessed" not in running.log


@pytest.mark.parametrize("site", ["serve", "runserver"], indirect=True)
def test_no_token_of_a_malformed_request_is_in_the_log(site: Server, token: str) -> None:
    with site.connect() as asking:
        asking.sendall(f"GET /?token={token} and more HTTP/1.1\r\n\r\n".encode())
        assert b"400" in asking.recv(65536)
    wait_for(lambda: " 400" in site.log or "with 400" in site.log)
    assert token not in site.log


def test_who_is_barred_loses_the_websockets_that_a_token_has_opened(
    site: Server, open_websocket: Open, users: Any, facility: str
) -> None:
    anna = User.objects.create_user(facility)
    paths = (f"messages/?channel={facility}&token=", f"ws/{facility}?token=")
    opened = [open_websocket(site.address("/" + path + tickets.issue(anna))) for path in paths]
    anna.is_active = False
    anna.save()
    for websocket in opened:
        with pytest.raises(ConnectionClosedError) as closed:
            websocket.recv(PATIENCE)
        assert closed.value.rcvd.code == CloseCode.EXPELLED


def test_a_logout_ends_what_a_ticket_opened_or_might_open(
    site: Server, open_websocket: Open, users: Any, facility: str
) -> None:
    ending, lasting = Browser(), Browser()

    def ticket(browser: Browser) -> str:
        return tickets.issue(users["mary"], browser.session)

    for browser in (ending, lasting):
        browser.force_login(users["mary"])
    paths = (f"messages/?channel={facility}&token=", f"ws/{facility}?echo&publish-user&token=")
    ended = [open_websocket(site.address("/" + path + ticket(ending))) for path in paths]
    kept = open_websocket(site.address(f"/plain/?token={ticket(lasting)}"))
    unused = ticket(ending)
    ending.logout()
    for websocket in ended:
        with pytest.raises(ConnectionClosedError) as closed:
            websocket.recv(PATIENCE)
        assert closed.value.rcvd.code == CloseCode.EXPELLED
    assert status(site, f"private/?token={unused}").startswith("403 ")
    kept.send("still here")
    assert kept.recv(PATIENCE) == "None: still here"


def test_further_facilities_are_those_of_the_token(
    site: Server, open_websocket: Open, token: str, users: Any, facility: str, redis_client: Any
) -> None:
    for name, secret in (("john", token), ("mary", tickets.issue(users["mary"]))):
        websocket = open_websocket(
            site.address(f"/ws/{facility}?token={secret}"), subprotocols=["ws4redis.v1"]
        )
        client = Client(websocket)
        assert client.head()["type"] == "welcome"
        channels = ["subscribe-user"]
        client.say("subscribe", id=1, facility=f"{facility}x", channels=channels)
        assert client.head()["type"] == "subscribed"
        redis_client.publish(f"user:{name}:{facility}x", "for you")
        assert client.read()[1] == "for you"


@pytest.mark.usefixtures("token")  # makes the table of tokens
def test_without_redis_the_log_says_why_no_ticket_counts(
    directory: Path, own_redis: RedisServer, users: Any
) -> None:
    with serving("serve", directory, own_redis.url, **SITE) as running:
        ticket = "x" * 43
        assert status(running, f"private/?token={ticket}").startswith("403 ")
        own_redis.stop()
        for path in ("private/", "ws/x"):
            assert status(running, f"{path}?token={ticket}").startswith("503 ")
            assert status(running, f"{path}?token=no-ticket").startswith("403 ")
        why = f"Redis at {own_redis.path} could not be used: "
        wait_for(lambda: f"The token for '/private/' can't be looked at: {why}" in running.log)
        wait_for(lambda: f"with 503: Try again later. {why}" in running.log)


def test_users_of_tokens_are_known_without_sessions(
    directory: Path, redis_server: RedisServer, users: Any, open_websocket: Open, facility: str
) -> None:
    settings = SITE | {"MIDDLEWARE": [], "WS4REDIS_MAX_CONNECTIONS_PER_USER": 1}
    with serving("serve", directory, redis_server.url, **settings) as running:
        path = f"messages/?channel={facility}&token="
        open_websocket(running.address("/" + path + tickets.issue(users["mary"])))
        assert status(running, path + tickets.issue(users["mary"])).startswith("429 ")


OPEN = """([address, subprotocols]) => new Promise((resolve) => {
  const socket = new WebSocket(address, subprotocols);
  socket.onmessage = ({ data }) => resolve([socket.protocol, JSON.parse(data)[0]]);
  socket.onerror = () => resolve("refused");
})"""


@pytest.mark.parametrize("site", ["serve"], indirect=True)
def test_a_browser_hands_a_token_in_as_a_subprotocol(site: Server, token: str) -> None:
    # Other tests of this module use the database, which does not go together with a browser.
    with chromium() as browser:
        page = browser.new_page()
        page.goto(site.page)

        def opened(token: str, *others: str) -> Any:
            offered = [*others, f"ws4redis.token.{token}"]
            return page.evaluate(OPEN, [site.address("/private/"), offered])

        assert opened(token, "ws4redis") == ["ws4redis", "john"]
        assert opened("wrong", "ws4redis") == "refused"
        # A browser wants one of those that it offers, and the token is never chosen.
        assert opened(token) == "refused"
