"""Publishing from Django code, against a real Redis."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.test import RequestFactory, override_settings

from tests.servers import RedisServer, free_port
from tests.waiting import PATIENCE
from ws4redis.exceptions import BusError
from ws4redis.publisher import RedisPublisher
from ws4redis.redis_client import get_client
from ws4redis.redis_store import SELF, RedisMessage

# Each of these may publish.
pytestmark = pytest.mark.usefixtures("redis_server")

_numbers = itertools.count()


@pytest.fixture
def facility() -> str:
    return f"publishing{next(_numbers)}"


@pytest.fixture
def listener(redis_client: redis.Redis, facility: str) -> Iterator[Any]:
    """Everything that is published on the facility."""
    with redis_client.pubsub() as subscription:
        subscription.psubscribe(f"*:{facility}")
        assert subscription.get_message(timeout=PATIENCE) is not None

        def heard(patience: float = PATIENCE) -> Any:
            message = subscription.get_message(timeout=patience)
            return message and (message["channel"].decode(), message["data"])

        yield heard


@pytest.mark.parametrize("method", ["publish_message", "pipeline_publish_message"])
def test_a_message_is_published_and_persisted(
    facility: str, listener: Any, redis_client: redis.Redis, method: str
) -> None:
    publisher = RedisPublisher(facility=facility, broadcast=True)
    assert getattr(publisher, method)("hello") == 1
    assert listener() == (f"broadcast:{facility}", b"hello")
    assert redis_client.get(f"broadcast:{facility}") == b"hello"
    assert 3590 < redis_client.ttl(f"broadcast:{facility}") <= 3600


def test_it_is_persisted_before_it_is_published(facility: str, redis_server: RedisServer) -> None:
    with redis_server.client() as client, client.monitor() as monitor:
        RedisPublisher(facility=facility, users=["a", "b"]).publish_message("x")
        commands = []
        for command in monitor.listen():
            commands.append(command["command"].split()[:2])
            if command["command"] == "EXEC":
                break
    names = [words for words in commands if words[0] in ("MULTI", "SET", "PUBLISH", "EXEC")]
    assert [words[0] for words in names] == [*["MULTI", "SET", "PUBLISH", "SET", "PUBLISH", "EXEC"]]
    assert names[1][1] == names[2][1]


@pytest.mark.parametrize(("setting", "expire"), [(None, None), (0, None), (3600, 0)])
def test_nothing_is_persisted_without_a_time(
    facility: str, redis_client: redis.Redis, setting: int | None, expire: int | None
) -> None:
    with override_settings(WS4REDIS_EXPIRE=setting):
        RedisPublisher(facility=facility, broadcast=True).publish_message("x", expire)
    assert redis_client.get(f"broadcast:{facility}") is None


def test_all_audiences_of_a_publisher_are_reached_under_the_prefix(
    facility: str, listener: Any
) -> None:
    with override_settings(WS4REDIS_PREFIX="site"):
        publisher = RedisPublisher(
            facility=facility, broadcast=True, users=["u"], groups=["g"], sessions=["s"]
        )
        assert publisher.publish_message(b"\x00") == 4
    heard = {listener()[0] for _ in range(4)}
    assert heard == {
        f"site:{name}:{facility}" for name in ("broadcast", "user:u", "group:g", "session:s")
    }


def test_ten_thousand_users_are_reached_in_one_call(
    facility: str, redis_client: redis.Redis
) -> None:
    users = [f"user{number}" for number in range(10_000)]
    assert RedisPublisher(facility=facility, users=users).publish_message("x", expire=60) == 0
    assert redis_client.mget([f"user:{name}:{facility}" for name in users]) == [b"x"] * 10_000


def test_an_empty_list_of_users_reaches_nobody(facility: str) -> None:
    assert RedisPublisher(facility=facility, users=[]).publish_message("x") == 0


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"broadcast": True}, TypeError, "facility"),
        ({"facility": ""}, ValueError, "facility"),
        ({"facility": 3, "broadcast": True}, TypeError, "facility"),
        ({"facility": "x"}, ValueError, "audience"),
        ({"facility": "x", "users": "john"}, TypeError, "users"),
        ({"facility": "x", "everybody": True}, TypeError, r"'everybody'.*There are facility, "),
        ({"facility": "x", "brodcast": True}, TypeError, r"'brodcast'.*mean 'broadcast'"),
        ({"facility": "x", "users": [SELF]}, ValueError, "request"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        RedisPublisher(**arguments)


def test_a_publisher_for_fetching_can_not_publish() -> None:
    with pytest.raises(ValueError, match="audience"):
        RedisPublisher().publish_message("x")


def test_a_rolled_back_transaction_sends_nothing(facility: str, listener: Any, users: Any) -> None:
    publisher = RedisPublisher(facility=facility, broadcast=True)
    with transaction.atomic():
        publisher.publish_message("rolled back", on_commit=True)
        transaction.set_rollback(True)
    with transaction.atomic():
        assert publisher.publish_message("committed", on_commit=True) is None
        assert listener(0.2) is None
    assert listener() == (f"broadcast:{facility}", b"committed")
    publisher.publish_message("outside", on_commit=True)
    assert listener() == (f"broadcast:{facility}", b"outside")


def test_a_failure_after_the_commit_is_logged_and_breaks_nothing(
    users: Any, caplog: pytest.LogCaptureFixture
) -> None:
    others = []
    with override_settings(WS4REDIS_CONNECTION={"port": free_port()}), transaction.atomic():
        RedisPublisher(facility="x", broadcast=True).publish_message("x", on_commit=True)
        transaction.on_commit(lambda: others.append("ran"))
    assert others == ["ran"]
    assert "not published after the commit" in caplog.text


def fetch(facility: str, audience: str = "any", user: Any = None, session: Any = None) -> Any:
    request = RequestFactory().get("/")
    request.user = user or AnonymousUser()
    request.session = session  # type: ignore[assignment]
    return RedisPublisher().fetch_message(request, facility, audience)


def test_the_first_persisted_message_is_fetched(
    facility: str, redis_client: redis.Redis, users: dict[str, User]
) -> None:
    session = type("Session", (), {"session_key": "k"})()
    found = []
    for channel in ("broadcast", "group:chatters", "user:john", "session:k"):
        redis_client.set(f"{channel}:{facility}", channel)
        found.append(fetch(facility, "any", users["john"], session))
    assert found == [b"broadcast", b"group:chatters", b"user:john", b"session:k"]
    assert isinstance(found[0], RedisMessage)
    assert fetch(facility, "group", users["mary"]) == b"group:chatters"
    assert fetch(facility, "group", users["paul"]) is None
    assert fetch(facility, "user") is None
    assert fetch(facility) == b"broadcast"
    assert RedisPublisher().fetch_message(None, facility) == b"broadcast"


def test_an_unknown_audience_is_named(facility: str) -> None:
    with pytest.raises(ValueError, match="'everyone'"):
        fetch(facility, "everyone")


@pytest.mark.parametrize("kind", ["refused", "silent"])
def test_without_redis_a_view_gets_one_error_and_does_not_hang(kind: str, silent_port: int) -> None:
    port = silent_port if kind == "silent" else free_port()
    settings = {"host": "127.0.0.1", "port": port, "password": "very-secret"}
    with override_settings(WS4REDIS_CONNECTION=settings, WS4REDIS_REDIS_TIMEOUT=0.2):
        started = time.monotonic()
        with pytest.raises(BusError) as error:
            RedisPublisher(facility="x", broadcast=True).publish_message("x")
        with pytest.raises(BusError):
            RedisPublisher().fetch_message(None, "x")
    # Retries of a minute, as redis-py does them by itself, would be far beyond this.
    assert time.monotonic() - started < 10
    assert error.value.__cause__ is not None
    assert "very-secret" not in str(error.value)


def test_the_first_publish_after_a_restart_of_redis_works(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        with override_settings(WS4REDIS_CONNECTION=server.url):
            publisher = RedisPublisher(facility="x", broadcast=True)
            publisher.publish_message("before")
            server.stop()
            server.start()
            publisher.publish_message("after")
            assert publisher.fetch_message(None, "x") == b"after"
    finally:
        server.stop()


def test_a_child_process_has_a_client_of_its_own(facility: str, redis_server: Any) -> None:
    parent = get_client()
    assert get_client() is parent
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def child() -> None:
        publisher = RedisPublisher(facility=facility, broadcast=True)
        publisher.publish_message("from the child")
        results.put(get_client() is parent)

    process = context.Process(target=child)
    process.start()
    process.join(15)
    assert process.exitcode == 0
    assert results.get(timeout=5) is False
    assert RedisPublisher().fetch_message(None, facility) == b"from the child"


def test_more_threads_than_a_pool_of_redis_py_has_can_publish(facility: str) -> None:
    errors: list[BaseException] = []
    barrier = threading.Barrier(120)

    def publish() -> None:
        barrier.wait()
        try:
            RedisPublisher(facility=facility, broadcast=True).publish_message("x")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=publish) for _ in range(120)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    get_client().close()


def test_settings_are_followed(facility: str, redis_client: redis.Redis) -> None:
    url = os.environ["REDIS_URL"].replace("db=0", "db=7")
    with override_settings(WS4REDIS_CONNECTION=url):
        RedisPublisher(facility=facility, broadcast=True).publish_message("elsewhere")
        assert RedisPublisher().fetch_message(None, facility) == b"elsewhere"
    assert RedisPublisher().fetch_message(None, facility) is None
