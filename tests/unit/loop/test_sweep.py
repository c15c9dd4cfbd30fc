"""Whom an order concerns, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import gevent
import pytest

from ws4redis.loop import sweep as module
from ws4redis.loop.admission import Identity
from ws4redis.loop.connection import Phase
from ws4redis.loop.sweep import Sweep
from ws4redis.wire.outgoing import Outgoing

JOHN = Identity(user="john", user_id="1", session="abc")
MARY = Identity(user="mary", user_id="2", session="def")


class Judge:
    """Expels whom a test names."""

    def __init__(self) -> None:
        self.asked: list[set[Identity]] = []
        self.verdicts: dict[Identity, int] = {}
        self.failures = 0

    def __call__(self, identities: Collection[Identity]) -> Mapping[Identity, int]:
        self.asked.append(set(identities))
        if self.failures:
            self.failures -= 1
            raise OSError("the database is away")
        return self.verdicts


class Watched:
    """Two users with a websocket each, in one process."""

    def __init__(self, make: Any, interval: float | None) -> None:
        setting = make()
        self.registry = setting.registry
        self.judge = Judge()
        self.flushed: list[Any] = []
        self.sweep = Sweep(self.registry, self.judge, interval, self.flush)
        self.connections = {}
        for identity in (JOHN, MARY):
            place = self.registry.admission.enter("192.0.2.1")
            self.registry.admission.identify(place, identity)
            other = make()
            other.connection._registry = self.registry
            other.connection.place = place
            self.registry._open.add(other.connection)
            self.connections[identity] = other.connection
        self.sweep.start()

    def flush(self, connection: Any) -> None:
        assert connection.phase is Phase.OPEN, "It would not get it any more."
        self.flushed.append(connection)

    def order(self, **order: Any) -> None:
        self.sweep.accept(b"control", Outgoing(json.dumps(order).encode()))

    def closed(self) -> list[Identity]:
        return [one for one, open_ in self.connections.items() if open_.phase is not Phase.OPEN]

    def until(self, condition: Any) -> None:
        with gevent.Timeout(5):
            while not condition():
                gevent.sleep(0.01)


@pytest.fixture
def watched(make: Any) -> Iterator[Any]:
    started: list[Watched] = []

    def start(interval: float | None = None) -> Watched:
        started.append(Watched(make, interval))
        return started[-1]

    yield start
    for one in started:
        one.sweep.stop()


@pytest.mark.parametrize(
    "whom",
    [{"users": ["1"]}, {"names": ["john"]}, {"sessions": ["abc"]}, {"sessions": ["x", "abc"]}],
)
@pytest.mark.parametrize("verb", ["kick", "renew"])
def test_an_order_closes_whom_it_concerns(watched: Any, verb: str, whom: Any) -> None:
    one = watched()
    one.order(**{verb: whom})
    one.until(lambda: one.closed() == [JOHN])


def test_an_address_may_have_many(watched: Any) -> None:
    one = watched()
    one.order(kick={"addresses": ["192.0.2.1"]})
    one.until(lambda: one.closed() == [JOHN, MARY])


def test_who_is_to_be_checked_is_judged_with_one_question(watched: Any) -> None:
    one = watched()
    one.judge.verdicts = {MARY: 4501}
    one.order(check={"users": ["1"]})
    one.order(check={"users": ["2", "3"]})
    one.until(lambda: one.closed() == [MARY])
    assert one.judge.asked == [{JOHN, MARY}]


def test_everybody_is_looked_at_from_time_to_time(watched: Any) -> None:
    one = watched(0.05)
    one.until(lambda: len(one.judge.asked) > 2)
    assert one.closed() == []
    one.judge.verdicts = {JOHN: 4001}
    one.until(lambda: one.closed() == [JOHN])


def test_so_many_orders_that_it_never_rests_keep_nobody_from_the_look_at_all(watched: Any) -> None:
    one = watched(0.2)
    one.judge.verdicts = {JOHN: 4501}

    def busy() -> bool:
        one.order(check={"users": ["2"]})
        return one.closed() == [JOHN]

    one.until(busy)


def test_a_failing_judge_closes_nobody_and_is_asked_again(
    watched: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "RETRY", 0.01)
    one = watched()
    one.judge.failures, one.judge.verdicts = 1, {JOHN: 4501}
    one.order(check={"everybody": True})
    one.until(lambda: one.closed() == [JOHN])
    assert "It can't be found out" in caplog.text


def test_who_opens_meanwhile_is_looked_at(watched: Any) -> None:
    one = watched()
    place = one.registry.admission.enter("192.0.2.2")
    one.order(check={"users": ["1"]})
    one.registry.admission.identify(place, Identity(user="late", user_id="1"))
    one.connections[JOHN].place = place
    one.sweep.greet(one.connections[JOHN])
    one.until(lambda: any(place.identity in asked for asked in one.judge.asked))


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b"[]", b"1", b'{"kick": 1}', b'{"kick": {"users": 1}}', b"{}"]
)
def test_nonsense_is_no_order(watched: Any, payload: bytes) -> None:
    one = watched()
    assert one.sweep.accept(b"control", Outgoing(payload)) == b""
    gevent.sleep(0)
    assert one.closed() == []


def test_the_end_does_not_wait_for_a_judge_that_hangs(
    watched: Any, caplog: pytest.LogCaptureFixture
) -> None:
    one = watched()
    begun = []

    def hang(identities: Collection[Identity]) -> Mapping[Identity, int]:
        begun.append(identities)
        try:
            gevent.sleep(3600)
        except gevent.GreenletExit as error:
            raise RuntimeError("as a database driver might say it") from error
        return {}

    one.sweep._judge = hang
    one.order(check={"everybody": True})
    one.until(lambda: begun)
    with gevent.Timeout(5):
        one.sweep.stop()
        gevent.joinall(one.sweep._greenlets)
    assert "It can't be found out" not in caplog.text


def test_many_orders_are_one_walk(watched: Any) -> None:
    one = watched()
    for number in range(1000):
        one.order(check={"users": [f"{number}"], "names": ["mary"]})
    one.until(lambda: one.judge.asked)
    assert one.judge.asked == [{JOHN, MARY}]
