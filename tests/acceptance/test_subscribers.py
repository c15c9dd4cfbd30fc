"""A site's own subscriber, with the database in its methods, in every kind of process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.acceptance.test_facility import BOTH, receive
from tests.servers import RedisServer, Server, serving
from tests.waiting import wait_for

KINDS = ("serve", "runserver", "uwsgi", "uwsgi-http-socket")


def user_count() -> int:
    from django.contrib.auth.models import User

    return User.objects.count()


@pytest.fixture(params=KINDS)
def serve_with(
    request: pytest.FixtureRequest, directory: Path, redis_server: RedisServer, users: Any
) -> Any:
    """Runs a server with a subscriber of tests/subscribers.py."""

    def run(name: str, **settings: Any) -> Any:
        settings["WS4REDIS_SUBSCRIBER"] = f"tests.subscribers.{name}"
        return serving(request.param, directory, redis_server.url, **settings)

    return run


def test_messages_of_a_client_pass_through_the_subscriber_in_order(
    serve_with: Any, facility: str, open_websocket: Any
) -> None:
    with serve_with("Counting") as server:
        sender = open_websocket(server.url(f"{facility}?{BOTH}"))
        other = open_websocket(server.url(f"{facility}?subscribe-broadcast"))
        for number in range(100):
            sender.send(f"{number}")
        assert [receive(other) for _ in range(100)] == [
            f"{number} {user_count()}" for number in range(100)
        ]


def test_a_bug_in_the_subscriber_is_logged_and_no_client_sees_it(
    serve_with: Any, facility: str, open_websocket: Any
) -> None:
    with serve_with("Counting") as server:
        sender = open_websocket(server.url(f"{facility}?{BOTH}&echo"))
        sender.send("fail")
        sender.send("goes on")
        assert receive(sender) == f"goes on {user_count()}"
        assert "secret detail" in server.log


def test_no_echo_also_holds_for_what_the_subscriber_publishes(
    serve_with: Any, facility: str, open_websocket: Any
) -> None:
    with serve_with("Counting") as server:
        sender = open_websocket(server.url(f"{facility}?{BOTH}"))
        other = open_websocket(server.url(f"{facility}?{BOTH}"))
        sender.send("from sender")
        assert receive(other) == f"from sender {user_count()}"
        other.send("from other")
        assert receive(sender) == f"from other {user_count()}"


def test_the_subscriber_says_what_a_newcomer_gets_first(
    serve_with: Any, facility: str, open_websocket: Any, redis_client: Any
) -> None:
    redis_client.set(f"broadcast:{facility}", "the last one")
    with serve_with("Welcoming") as server:
        client = open_websocket(server.url(f"{facility}?subscribe-broadcast"))
        assert [receive(client), receive(client)] == [
            f"welcome, {user_count()} users",
            "the last one",
        ]


def test_the_subscriber_joins_channels_of_its_own_on_the_one_link(
    serve_with: Any, facility: str, open_websocket: Any, redis_client: Any
) -> None:
    with serve_with("Additional") as server:
        client = open_websocket(server.url(f"{facility}?subscribe-weather"))
        assert redis_client.publish("weather", "sunny") == 1
        assert receive(client) == "sunny"


def test_the_subscriber_is_released_when_its_websocket_has_gone(
    serve_with: Any, facility: str, open_websocket: Any, redis_client: Any
) -> None:
    redis_client.delete("released")
    with serve_with("Releasing") as server:
        open_websocket(server.url(f"{facility}?subscribe-broadcast")).close()
        wait_for(lambda: redis_client.lrange("released", 0, -1))
    assert redis_client.lrange("released", 0, -1) == [f"broadcast:{facility}".encode()]


def test_a_subscriber_that_reads_by_itself_gets_a_thread(
    serve_with: Any, facility: str, open_websocket: Any, redis_client: Any
) -> None:
    with serve_with("Translating", WS4REDIS_REDIS_TIMEOUT=0.3) as server:
        client = open_websocket(server.url(f"{facility}?{BOTH}"))
        wait_for(lambda: redis_client.publish(f"broadcast:{facility}", "shout") == 1)
        assert receive(client) == "SHOUT"
        client.close()
        wait_for(lambda: redis_client.publish(f"broadcast:{facility}", "nobody") == 0)


def failing(request: Any, channels: Any) -> Any:
    raise AttributeError("'NoneType' object has no attribute 'is_authenticated'")


def test_an_allowed_channels_function_that_fails_lets_nobody_in(
    directory: Path, redis_server: RedisServer, users: Any, open_websocket: Any
) -> None:
    settings = {"WS4REDIS_ALLOWED_CHANNELS": "tests.acceptance.test_subscribers.failing"}
    with serving("serve", directory, redis_server.url, **settings) as server:
        answer = refused(server, open_websocket)
        assert answer.status_code == 500
        assert b"NoneType" not in answer.body
        assert "NoneType" in server.log


def refused(server: Server, open_websocket: Any) -> Any:
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus) as error:
        open_websocket(server.url("foo?subscribe-broadcast"))
    return error.value.response


def test_a_stopped_server_ends_sources_of_their_own(
    serve_with: Any, facility: str, open_websocket: Any
) -> None:
    with serve_with("Translating") as server:
        client = open_websocket(server.url(f"{facility}?subscribe-broadcast"))
    with pytest.raises(ConnectionClosed):
        client.recv(timeout=15)
