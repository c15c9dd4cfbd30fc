"""The loop's one link, on a real Redis, with its hub in the test's own thread."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random
from typing import Any

import gevent
import pytest
import redis
from django.test import override_settings
from gevent.event import Event

from tests.servers import RedisServer
from tests.tcp_proxy import TcpProxy
from tests.waiting import PATIENCE
from ws4redis.conf import redis_options
from ws4redis.exceptions import BusError
from ws4redis.loop import bus as bus_module
from ws4redis.loop.bus import REASONS_LIMIT, Bus, Delivery
from ws4redis.loop.link import open_link
from ws4redis.metrics import Metrics
from ws4redis.publisher import RedisPublisher

_numbers = itertools.count()


class Recorder:
    """A listener that notes what it is told."""

    def __init__(self) -> None:
        self.wanted: list[bytes] = []
        self.deliveries: list[Delivery] = []
        self.batches: list[int] = []
        self.events: list[str] = []
        self.failure: Exception | None = None
        self.is_free = Event()
        self.is_free.set()

    def channels(self) -> list[bytes]:
        return self.wanted

    def on_connected(self) -> None:
        self.events.append("connected")

    def on_messages(self, deliveries: Sequence[Delivery]) -> None:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        self.is_free.wait()
        self.batches.append(len(deliveries))
        self.deliveries += deliveries

    def on_lost(self, epoch: int) -> None:
        self.events.append(f"lost {epoch}")


def wait_for(condition: Callable[[], Any]) -> None:
    """Wait while the hub goes on."""
    with gevent.Timeout(PATIENCE):
        while not condition():
            gevent.sleep(0.005)


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of these tests' own: they cut its links and take its memory away."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def channel() -> bytes:
    return b"bus%d" % next(_numbers)


@pytest.fixture
def listener() -> Recorder:
    return Recorder()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def bus(redis_server: Any, listener: Recorder, metrics: Metrics) -> Iterator[Bus]:
    connection_class, options = redis_options(redis_server.url)
    bus = Bus(lambda: open_link(connection_class, options, 2.0), listener, metrics)
    bus.start()
    bus.wait_connected(PATIENCE)
    yield bus
    bus.stop()


def ask(bus: Bus, key: bytes) -> Any:
    answers: list[Any] = []
    bus.get(key, answers.append)
    wait_for(lambda: answers)
    return answers[0]


def loop_clients(client: redis.Redis) -> list[Any]:
    return [each for each in client.client_list() if each["name"] == "ws4redis"]


def test_the_answer_to_get_stands_between_the_messages(
    bus: Bus, listener: Recorder, channel: bytes, redis_client: redis.Redis
) -> None:
    bus.subscribe(channel)
    redis_client.set(channel, "before")
    assert ask(bus, channel) == b"before"
    redis_client.publish(channel, "after")
    wait_for(lambda: listener.deliveries)
    assert listener.deliveries == [(channel, b"after", "")]


def test_a_burst_is_handed_over_together(
    bus: Bus, listener: Recorder, channel: bytes, redis_client: redis.Redis
) -> None:
    bus.subscribe(channel)
    ask(bus, channel)
    pipeline = redis_client.pipeline(transaction=False)
    for number in range(200):
        pipeline.publish(channel, f"{number}")
    pipeline.execute()
    wait_for(lambda: len(listener.deliveries) == 200)
    assert [payload for _, payload, _ in listener.deliveries] == [b"%d" % n for n in range(200)]
    assert len(listener.batches) < 200


@pytest.mark.parametrize("expire", [0, 60])
def test_own_messages_come_back_and_later_answers_are_not_confused(
    bus: Bus, listener: Recorder, channel: bytes, redis_client: redis.Redis, expire: int
) -> None:
    bus.subscribe(channel)
    for number in range(20):
        assert bus.publish([channel], b"%d" % number, expire)
        expected = b"%d" % number if expire else None
        assert ask(bus, channel) == expected
    wait_for(lambda: len(listener.deliveries) == 20)
    assert redis_client.ttl(channel) == (60 if expire else -2)


def test_after_unsubscribing_nothing_comes(
    bus: Bus, listener: Recorder, channel: bytes, redis_client: redis.Redis
) -> None:
    bus.subscribe(channel)
    bus.unsubscribe(channel)
    ask(bus, channel)
    assert redis_client.publish(channel, "x") == 0


def test_a_cut_link_comes_back_with_all_channels_and_tells_of_the_loss(
    bus: Bus, listener: Recorder, channel: bytes, redis_client: redis.Redis
) -> None:
    listener.wanted = [channel, *(b"many%d" % number for number in range(2500))]
    for wanted in listener.wanted:
        bus.subscribe(wanted)
    ask(bus, channel)
    answers: list[Any] = []
    (client,) = loop_clients(redis_client)
    redis_client.client_kill_filter(_id=client["id"])
    bus.get(channel, answers.append)
    wait_for(lambda: answers)
    assert answers[0] is None or isinstance(answers[0], BusError)
    wait_for(lambda: listener.events == ["connected", "lost 1", "connected"])
    ask(bus, channel)
    assert redis_client.publish(channel, "x") == 1
    assert redis_client.publish("many2499", "x") == 1


def test_who_takes_long_to_hand_messages_over_does_not_take_redis_for_dead(
    bus: Bus,
    listener: Recorder,
    channel: bytes,
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus.subscribe(channel)
    ask(bus, channel)
    monkeypatch.setattr(bus_module, "CHECK_INTERVAL", 0.01)
    sent: list[bytes] = []
    send = bus._send

    def noting(*command: bytes, **how: Any) -> None:
        sent.append(command[0])
        send(*command, **how)

    monkeypatch.setattr(bus, "_send", noting)
    listener.is_free.clear()
    redis_client.publish(channel, "x")
    # Far more than may stay without an answer; the first comes after the interval of before.
    wait_for(lambda: sent.count(b"PING") > 10)
    listener.is_free.set()
    wait_for(lambda: listener.deliveries)
    assert listener.events == ["connected"]


def test_each_loss_is_told_once_with_its_number_and_counted(
    bus: Bus, listener: Recorder, metrics: Metrics, redis_client: redis.Redis
) -> None:
    for number in range(1, 4):
        (client,) = loop_clients(redis_client)
        redis_client.client_kill_filter(_id=client["id"])
        wait_for(lambda number=number: listener.events.count("connected") == number + 1)
    told = ["connected", "lost 1", "connected", "lost 2", "connected", "lost 3", "connected"]
    assert listener.events == told
    assert bus.epoch == metrics.values["bus.lost"] == 3
    assert metrics.values["bus.restored"] == 4


def test_one_forbidden_channel_does_not_take_the_others_with_it(
    bus: Bus, listener: Recorder, channel: bytes, redis_client: redis.Redis
) -> None:
    forbidden = b"not-" + channel
    listener.wanted = [channel, forbidden]
    for wanted in listener.wanted:
        bus.subscribe(wanted)
    ask(bus, channel)
    redis_client.execute_command("ACL", "SETUSER", "default", "resetchannels", b"&" + channel)
    try:
        wait_for(lambda: listener.events == ["connected", "lost 1", "connected"])
        # One answer after the refusal, one after what followed from it.
        ask(bus, channel)
        ask(bus, channel)
        assert bus.refused == {forbidden}
        assert redis_client.publish(channel, "x") == 1
        # Nobody wants it any more: it is not remembered for ever.
        listener.wanted = [channel]
        wait_for(lambda: not bus.refused)
    finally:
        redis_client.execute_command("ACL", "SETUSER", "default", "allchannels")


def test_a_large_message_to_many_does_not_overflow_what_redis_holds_for_the_link(
    bus: Bus, listener: Recorder, channel: bytes, redis_server: RedisServer
) -> None:
    # In one transaction, it would be just above Redis' limit of 32 MiB; in several, a listener on a
    # busy machine need not be much faster than whoever publishes.
    users = [f"{channel.decode()}-{number}" for number in range(340)]
    listener.wanted = [f"user:{user}:big".encode() for user in users]
    for wanted in listener.wanted:
        bus.subscribe(wanted)
    ask(bus, channel)
    message = b"x" * 100_000

    def publish() -> int | None:
        return RedisPublisher(facility="big", users=users).publish_message(message, expire=5)

    with override_settings(WS4REDIS_CONNECTION=redis_server.url, WS4REDIS_REDIS_TIMEOUT=PATIENCE):
        assert gevent.get_hub().threadpool.apply(publish) == 340
    wait_for(lambda: len(listener.deliveries) == 340 or bus.epoch)
    assert bus.epoch == 0


def test_a_bug_in_the_listener_costs_one_batch_and_not_the_link(
    bus: Bus,
    listener: Recorder,
    channel: bytes,
    redis_client: redis.Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener.wanted = [channel]
    bus.subscribe(channel)
    ask(bus, channel)
    listener.failure = ValueError("a bug")
    redis_client.publish(channel, "one")
    wait_for(lambda: listener.events == ["connected", "lost 1", "connected"])
    wait_for(lambda: redis_client.publish(channel, "two"))
    wait_for(lambda: listener.deliveries)
    assert listener.deliveries[-1] == (channel, b"two", "")
    assert "a bug" in caplog.text


def test_an_error_of_redis_is_answered_or_logged(
    bus: Bus, channel: bytes, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    redis_client.rpush(channel, "a list")
    assert "WRONGTYPE" in str(ask(bus, channel))
    redis_client.config_set("maxmemory", 1)
    try:
        bus.publish([channel], b"x", 60)
        ask(bus, b"other")
    finally:
        redis_client.config_set("maxmemory", 0)
    assert "OOM" in caplog.text


def test_without_a_link_everything_says_so(listener: Recorder) -> None:
    def fail() -> Any:
        raise BusError("Redis is away.")

    bus = Bus(fail, listener, Metrics())
    bus.start()
    answers: list[Any] = []
    with pytest.raises(BusError):
        bus.wait_connected(0.05)
    bus.get(b"x", answers.append)
    assert isinstance(answers[0], BusError)
    assert not bus.publish([b"x"], b"x", 0)
    bus.stop()


def test_nobody_waits_for_a_redis_that_is_known_to_be_away(listener: Recorder) -> None:
    def fail() -> Any:
        raise BusError("Redis is away.")

    bus = Bus(fail, listener, Metrics())
    bus.start()
    late: list[bool] = []
    with pytest.raises(BusError):
        bus.wait_connected(0.5)
    timer = gevent.spawn_later(0.25, late.append, True)
    with pytest.raises(BusError):
        bus.wait_connected(0.5)
    assert not late
    timer.kill()
    bus.stop()


@pytest.fixture
def no_delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Take the luck and the waiting out of the delays; return their bounds."""
    bounds: list[float] = []

    def shortest(low: float, high: float) -> float:
        bounds.append(high)
        return low

    monkeypatch.setattr("ws4redis.loop.backoff.random.uniform", shortest)
    return bounds


def test_an_outage_is_told_of_in_few_lines(
    listener: Recorder, caplog: pytest.LogCaptureFixture, no_delays: list[float]
) -> None:
    attempts: list[int] = []

    def fail() -> Any:
        attempts.append(len(attempts))
        raise BusError(f"Redis is away for reason {attempts[-1]}.")

    bus = Bus(fail, listener, Metrics())
    bus.start()
    wait_for(lambda: len(attempts) > 2 * REASONS_LIMIT)
    bus.stop()
    assert len([each for each in caplog.records if each.levelname == "ERROR"]) == REASONS_LIMIT


def test_a_link_that_breaks_again_and_again_is_opened_ever_more_slowly(
    listener: Recorder, redis_server: RedisServer, no_delays: list[float]
) -> None:
    def connect() -> Any:
        link = open_link(connection_class, options, 2.0)
        link.shutdown(socket.SHUT_RDWR)
        return link

    connection_class, options = redis_options(redis_server.url)
    bus = Bus(connect, listener, Metrics())
    bus.start()
    wait_for(lambda: len(no_delays) > 6)
    bus.stop()
    assert no_delays[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


@pytest.fixture
def network(redis_server: RedisServer) -> Iterator[TcpProxy]:
    with TcpProxy(redis_server.path) as proxy:
        yield proxy


def garble(random: Random, data: bytes) -> bytes:
    """Change a byte, drop one, or insert one."""
    place = random.randrange(len(data))
    middle = random.choice([b"", bytes([random.randrange(256)]), data[place : place + 1] * 2])
    return data[:place] + middle + data[place + 1 :]


def test_whatever_redis_says_the_link_comes_back(
    network: TcpProxy, redis_client: redis.Redis, listener: Recorder, channel: bytes
) -> None:
    random = Random(channel)
    listener.wanted = [channel]
    connection_class, options = redis_options(network.url)
    bus = Bus(lambda: open_link(connection_class, options, 0.2), listener, Metrics())
    bus.start()
    bus.wait_connected(PATIENCE)
    network.answers.change = partial(garble, random)
    for number in range(300):
        redis_client.publish(channel, f"garbled {number}")
        bus.get(channel, lambda answer: None)
        gevent.sleep(0.002)
    network.answers.change = None
    network.cut()
    wait_for(lambda: redis_client.publish(channel, "whole"))
    wait_for(lambda: (channel, b"whole", "") in listener.deliveries)
    bus.stop()


def test_whatever_keeps_the_link_from_opening_is_tried_again(
    listener: Recorder, redis_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    connection_class, options = redis_options(redis_server.url)
    failures: list[Exception] = [ValueError("odd"), BusError("Redis is away.")]

    def connect() -> Any:
        if failures:
            raise failures.pop(0)
        return open_link(connection_class, options, 2.0)

    bus = Bus(connect, listener, Metrics())
    bus.start()
    bus.wait_connected(PATIENCE)
    bus.stop()
    assert "odd" in caplog.text
    assert "Redis is back" in caplog.text


def test_an_unreachable_redis_is_one_error(tmp_path: Any) -> None:
    connection_class, options = redis_options(f"unix://{tmp_path}/nothing")
    with pytest.raises(BusError, match="can't be used"):
        open_link(connection_class, options, 0.5)
