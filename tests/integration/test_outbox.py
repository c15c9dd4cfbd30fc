"""Durable messages: real databases, a real Redis, and processes that are killed."""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection as default_connection
from django.db import connections, transaction
from django.test import override_settings
from django.utils import timezone

from tests.postgres import PostgresServer
from tests.servers import ROOT, RedisServer, end, free_port
from tests.waiting import PATIENCE, wait_for
from ws4redis.exceptions import BusError
from ws4redis.outbox import relay as relay_module
from ws4redis.outbox.models import OutboxMessage
from ws4redis.outbox.relay import relay_once
from ws4redis.publisher import RedisPublisher

_numbers = itertools.count()
HISTORY: dict[str, Any] = {"plain/*": {"audiences": []}, "*": {"length": 5000}}
TABLE = OutboxMessage._meta.db_table

pytestmark = pytest.mark.usefixtures("redis_server", "users", "history")


@pytest.fixture
def history() -> Iterator[None]:
    with override_settings(WS4REDIS_HISTORY=HISTORY):
        yield


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The alias of a database of a private PostgreSQL."""
    server = PostgresServer()
    try:
        server.start()
        known = connections.configure_settings({"default": {}, "postgres": server.settings()})
        connections.settings["postgres"] = known["postgres"]
        call_command("migrate", "ws4redis_outbox", database="postgres", verbosity=0)
        yield "postgres"
        connections["postgres"].close()
        del connections["postgres"]
    finally:
        connections.settings.pop("postgres", None)
        server.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, users: Any) -> str:
    """The alias of a database without durable messages."""
    alias = "default" if request.param == "sqlite" else request.getfixturevalue("postgres")
    rows(alias).delete()
    return alias


def rows(database: str) -> Any:
    return OutboxMessage.objects.using(database).order_by("pk")


class Facility:
    """A facility with a history, and what is in it."""

    def __init__(self, client: redis.Redis) -> None:
        self.name = f"outbox{next(_numbers)}"
        self.stream = f"ws4redis:stream:broadcast:{self.name}"
        self._client = client

    def publish(self, payload: Any, database: str, **options: Any) -> None:
        publisher = RedisPublisher(facility=self.name, broadcast=True)
        assert publisher.publish_message(payload, durable=True, using=database, **options) is None

    def leave(self, *payloads: str, database: str, age: float = 60.0) -> None:
        """Leave messages over, as a crash does, so many seconds ago."""
        created = timezone.now() - timedelta(seconds=age)
        for payload in payloads:
            rows(database).create(
                channels=[f"broadcast:{self.name}"],
                payload=payload.encode(),
                expire=60,
                key=f"{self.name}-{payload}",
                created=created,
            )

    def payloads(self) -> list[bytes]:
        return [fields[b"d"] for _, fields in self._client.xrange(self.stream)]


@pytest.fixture
def facility(redis_client: redis.Redis) -> Facility:
    return Facility(redis_client)


# With a transaction, and without


def test_a_message_is_written_with_its_transaction_and_sent_after_it(
    database: str, facility: Facility
) -> None:
    with transaction.atomic(using=database):
        facility.publish(b"paid\x00\xff", database, expire=60)
        (row,) = rows(database)
        assert row.channels == [f"broadcast:{facility.name}"]
        assert (bytes(row.payload), row.expire) == (b"paid\x00\xff", 60)
        assert facility.payloads() == []
    assert facility.payloads() == [b"paid\x00\xff"]
    assert not rows(database).exists()


def test_a_rollback_leaves_nothing(database: str, facility: Facility) -> None:
    with transaction.atomic(using=database):
        with transaction.atomic(using=database):
            facility.publish("of a savepoint", database)
            transaction.set_rollback(True, using=database)
        facility.publish("committed", database)
    with transaction.atomic(using=database):
        facility.publish("rolled back", database)
        transaction.set_rollback(True, using=database)
    assert facility.payloads() == [b"committed"]
    assert not rows(database).exists()


def test_without_a_transaction_it_is_sent_at_once(database: str, facility: Facility) -> None:
    facility.publish({"order": 7}, database)
    assert facility.payloads() == [b'{"order":7}']
    assert not rows(database).exists()


def test_an_idempotency_key_of_the_site_counts(database: str, facility: Facility) -> None:
    with transaction.atomic(using=database):
        facility.publish("first", database, idempotency_key="order 7")
        facility.publish("again", database, idempotency_key="order 7")
        facility.publish("another", database)
    assert facility.payloads() == [b"first", b"another"]
    assert not rows(database).exists()


def test_the_database_of_the_routers_is_taken(postgres: str, facility: Facility) -> None:
    rows("default").delete()
    with override_settings(DATABASE_ROUTERS=["tests.integration.test_outbox.Router"]):
        with transaction.atomic(using=postgres):
            RedisPublisher(facility=facility.name, broadcast=True).publish_message(
                "x", durable=True
            )
            assert rows(postgres).count() == 1
            assert facility.payloads() == []
        facility.leave("left", database=postgres)
        assert relay_once() == 1
    assert facility.payloads() == [b"x", b"left"]


class Router:
    """Sends what is written to the other database."""

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "postgres"


def test_what_it_needs_is_named(facility: Facility) -> None:
    publisher = RedisPublisher(facility="plain/x", broadcast=True)
    with pytest.raises(ValueError, match=r"durable needs a history.*WS4REDIS_HISTORY"):
        publisher.publish_message("x", durable=True)
    publisher = RedisPublisher(facility=facility.name, broadcast=True)
    others = [name for name in django_settings.INSTALLED_APPS if name != "ws4redis.outbox"]
    with override_settings(INSTALLED_APPS=others):
        with pytest.raises(ImproperlyConfigured, match=r"'ws4redis\.outbox' in INSTALLED_APPS"):
            publisher.publish_message("x", durable=True)
        with pytest.raises(CommandError, match=r"'ws4redis\.outbox'"):
            call_command("ws4redis", "relay", "--once")


def test_the_migrations_are_complete(users: Any) -> None:
    call_command("makemigrations", "ws4redis_outbox", check=True, dry_run=True, verbosity=0)


# When Redis is away


def test_what_redis_could_not_get_is_sent_later_in_order(
    database: str, facility: Facility, caplog: pytest.LogCaptureFixture
) -> None:
    others: list[str] = []
    with override_settings(WS4REDIS_CONNECTION={"port": free_port()}):
        with transaction.atomic(using=database):
            facility.publish("1", database)
            facility.publish("2", database)
            transaction.on_commit(lambda: others.append("ran"), using=database)
        assert others == ["ran"]
        assert caplog.text.count("is left to the relay") == 2
        with pytest.raises(BusError):
            relay_once(database, grace=0)
    facility.publish("3", database)
    assert rows(database).count() == 2
    assert relay_once(database, grace=0) == 2
    assert facility.payloads() == [b"3", b"1", b"2"]
    assert relay_once(database, grace=0) == 0
    assert not rows(database).exists()


def test_a_message_is_left_for_a_while_to_the_process_that_wrote_it(
    database: str, facility: Facility
) -> None:
    facility.leave("old", database=database, age=60)
    facility.leave("young", database=database, age=5)
    assert relay_once(database) == 1
    assert facility.payloads() == [b"old"]
    assert relay_once(database, grace=1) == 1


def test_a_message_that_redis_refuses_does_not_keep_others(
    database: str, redis_client: redis.Redis
) -> None:
    bad, good = Facility(redis_client), Facility(redis_client)
    redis_client.set(f"ws4redis:positions:broadcast:{bad.name}", "foreign")
    numbers = [str(number) for number in range(150)]
    good.leave("first", database=database)
    bad.leave(*numbers, database=database)
    good.leave("last", database=database)
    for _ in range(2):
        with pytest.raises(BusError, match=r"WRONGTYPE|wrong kind"):
            relay_once(database)
        assert good.payloads() == [b"first", b"last"]
        assert rows(database).count() == 150
    redis_client.delete(f"ws4redis:positions:broadcast:{bad.name}")
    assert relay_once(database) == 150
    assert bad.payloads() == [number.encode() for number in numbers]


def test_a_facility_that_lost_its_history_gets_its_messages(
    database: str, facility: Facility, redis_client: redis.Redis
) -> None:
    facility.leave("left", database=database)
    with override_settings(WS4REDIS_HISTORY={}):
        assert relay_once(database) == 1
    assert redis_client.get(f"broadcast:{facility.name}") == b"left"
    assert not rows(database).exists()


def test_of_several_channels_those_that_got_it_do_not_get_it_again(
    database: str, redis_client: redis.Redis
) -> None:
    facility = f"outbox{next(_numbers)}"
    redis_client.set(f"ws4redis:positions:user:b:{facility}", "foreign")
    publisher = RedisPublisher(facility=facility, users=["a", "b", "c"])
    publisher.publish_message("x", durable=True, using=database)
    (row,) = rows(database)
    assert row.channels == [f"user:{user}:{facility}" for user in "abc"]
    redis_client.delete(f"ws4redis:positions:user:b:{facility}")
    assert relay_once(database, grace=0) == 1
    for user in "abc":
        entries = redis_client.xrange(f"ws4redis:stream:user:{user}:{facility}")
        assert [fields[b"d"] for _, fields in entries] == [b"x"]


# Several relays


def test_several_relays_send_each_message_once_and_in_order(
    database: str, facility: Facility
) -> None:
    numbers = [str(number) for number in range(450)]
    facility.leave(*numbers, database=database)
    errors: list[BaseException] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        try:
            barrier.wait(PATIENCE)
            while rows(database).exists():
                relay_once(database)
        except BaseException as error:
            errors.append(error)
        finally:
            connections[database].close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert facility.payloads() == [number.encode() for number in numbers]


def test_what_another_relay_holds_is_left_to_it_and_nobody_waits(
    postgres: str, facility: Facility
) -> None:
    rows(postgres).delete()
    facility.leave(*[str(number) for number in range(150)], database=postgres)
    results: list[int] = []

    def other() -> None:
        results.append(relay_once(postgres))
        connections[postgres].close()

    with transaction.atomic(using=postgres):
        assert len(rows(postgres).select_for_update()[:100]) == 100
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(PATIENCE)
        assert results == [0]
        assert facility.payloads() == []
    assert relay_once(postgres) == 150


# Crashes


def environment(redis_url: str, database: str) -> dict[str, str]:
    """Return what a program needs to work with the same Redis and database."""
    known = {key: connections.settings[database][key] for key in ("ENGINE", "NAME", "USER", "HOST")}
    # It may have to wait until the test has killed it.
    options = {"timeout": PATIENCE} if "sqlite" in known["ENGINE"] else {}
    settings = {
        "WS4REDIS_HISTORY": HISTORY,
        "DATABASES": {"default": {**known, "NAME": str(known["NAME"]), "OPTIONS": options}},
    }
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "REDIS_URL": redis_url,
        "WS4REDIS_TEST_SETTINGS": json.dumps(settings),
    }


@contextmanager
def publishing(redis_server: RedisServer, database: str, facility: Facility) -> Iterator[Any]:
    """Run a program that publishes, up to right after its commit."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.durable", facility.name],
        env=environment(redis_server.url, database),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"committed\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def undeletable(database: str) -> Iterator[Callable[[], object]]:
    """Let nobody delete a durable message; what is called waits until somebody tries to."""
    connection = connections[database]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            # Nobody sees who waits; but a process that is dead does not go on to wait.
            cursor.execute("BEGIN IMMEDIATE")
            yield lambda: None
            cursor.execute("ROLLBACK")
            return
        with transaction.atomic(using=database):
            cursor.execute(f"SELECT * FROM {TABLE} FOR UPDATE")
            yield lambda: wait_for(lambda: waiting(cursor))
            # The server does not notice that the client is dead for which it waits.
            (pid,) = waiting(cursor)
            cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])


def waiting(cursor: Any) -> list[int]:
    """Return the processes of PostgreSQL that wait for a lock."""
    cursor.execute("SELECT pg_stat_clear_snapshot()")
    cursor.execute("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    return [pid for (pid,) in cursor.fetchall()]


def test_a_process_that_is_told_to_goes_on_and_leaves_nothing(
    database: str, facility: Facility, redis_server: RedisServer
) -> None:
    with publishing(redis_server, database, facility) as process:
        process.communicate(b"\n", timeout=PATIENCE)
        assert process.returncode == 0
    assert facility.payloads() == [b"order 7 is paid"]
    assert not rows(database).exists()


def test_killed_between_commit_and_publish(
    database: str, facility: Facility, redis_server: RedisServer
) -> None:
    with publishing(redis_server, database, facility):
        pass
    assert facility.payloads() == []
    assert rows(database).count() == 1
    assert relay_once(database, grace=0) == 1
    assert facility.payloads() == [b"order 7 is paid"]
    assert not rows(database).exists()


def test_killed_between_publish_and_delete(
    database: str, facility: Facility, redis_server: RedisServer
) -> None:
    with (
        publishing(redis_server, database, facility) as process,
        undeletable(database) as await_deletion,
    ):
        process.stdin.write(b"\n")
        process.stdin.flush()
        wait_for(facility.payloads)
        await_deletion()
        process.kill()
        process.wait(PATIENCE)
    assert rows(database).count() == 1
    assert relay_once(database, grace=0) == 1
    assert facility.payloads() == [b"order 7 is paid"]
    assert not rows(database).exists()


# The command


def test_the_command_says_how_many_it_sent(facility: Facility) -> None:
    rows("default").delete()
    facility.leave("a", "b", database="default")
    assert call("--once") == "Sent 2 messages.\n"
    assert facility.payloads() == [b"a", b"b"]
    facility.leave("c", database="default", age=5)
    assert call("--once") == "Sent 0 messages.\n"
    assert call("--once", "--grace", "0", "--database", "default") == "Sent 1 message.\n"
    facility.leave("d", database="default")
    with (
        override_settings(WS4REDIS_CONNECTION={"port": free_port()}),
        pytest.raises(CommandError, match="could not be used"),
    ):
        call("--once")
    rows("default").delete()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--grace", "-5"), "from 0 to less than 10000, got '-5'"),
        (("--interval", "0"), "more than 0 and less than 10000, got '0'"),
        (("--database", "nope"), "There is no database 'nope'; there are default"),
    ],
)
def test_what_the_command_can_not_take_is_named(arguments: tuple[str, ...], text: str) -> None:
    with pytest.raises(CommandError, match=text):
        call("--once", *arguments)


def call(*arguments: str) -> str:
    output = io.StringIO()
    call_command("ws4redis", "relay", *arguments, stdout=output)
    return output.getvalue()


def test_the_relay_survives_that_redis_is_away(
    database: str, facility: Facility, tmp_path: Path
) -> None:
    facility.leave("before", database=database)
    server = RedisServer(tmp_path)
    log = tmp_path / "relay.log"
    command = [sys.executable, "-m", "django", "ws4redis", "relay"]
    command += ["--interval", "0.02", "--grace", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment(server.url, database), cwd=ROOT, stderr=output
        )
    try:
        wait_for(lambda: "tried again" in log.read_text())
        server.start()
        wait_for(lambda: not rows(database).exists())
        facility.leave("after", database=database, age=0)
        wait_for(lambda: not rows(database).exists())
        with server.client() as client:
            entries = client.xrange(facility.stream)
        assert [fields[b"d"] for _, fields in entries] == [b"before", b"after"]
        wait_for(lambda: log.read_text().count("were left over and are sent now: 1") == 2)
    finally:
        end(process)
        server.stop()
    text = log.read_text()
    assert text.count("tried again") == 1
    assert text.count("Nothing keeps messages") == 1
    assert "Traceback" not in text


class Enough(Exception):
    pass


def test_while_nothing_can_be_sent_the_relay_looks_less_and_less_and_says_so_once(
    facility: Facility, caplog: pytest.LogCaptureFixture
) -> None:
    rows("default").delete()
    facility.leave("x", database="default")
    waited: list[float] = []

    def rest(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 8:
            raise Enough

    with override_settings(WS4REDIS_CONNECTION={"port": free_port()}), pytest.raises(Enough):
        relay_module.relay("default", interval=5.0, rest=rest)
    assert waited == [10.0, 20.0, 40.0, 60.0, 60.0, 60.0, 60.0, 60.0]
    assert caplog.text.count("will be tried again") == 1
    waited.clear()
    with pytest.raises(Enough):
        relay_module.relay("default", interval=5.0, rest=rest)
    assert waited == [5.0] * 8
    assert default_connection.is_usable()
