from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.loop.fakes import FakeConnection
from ws4redis.loop import fanout
from ws4redis.loop.fanout import Batch, Fanout

CONNECTIONS = 40


class Hub:
    """Runs what was spawned only when told to; any step takes longer than a slice may."""

    def __init__(self) -> None:
        self.spawned: list[Callable[[], None]] = []
        self.pauses = 0
        self.meanwhile: list[Callable[[], object]] = []
        self.fanout = Fanout(self.pause, self.spawned.append, self.clock)
        self._time = 0.0

    def clock(self) -> float:
        self._time += fanout.SLICE * 2
        return self._time

    def pause(self) -> None:
        self.pauses += 1
        if self.meanwhile:
            self.meanwhile.pop(0)()
        elif self.pauses > 1000:
            raise AssertionError("It waits for ever.")

    def run(self) -> None:
        while self.spawned:
            self.spawned.pop(0)()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "FEW", 3)
    monkeypatch.setattr(fanout, "STEP", 5)


@pytest.fixture
def connections() -> list[Any]:
    return [FakeConnection() for _ in range(CONNECTIONS)]


def received(connections: list[Any]) -> list[bytes]:
    return [b"".join(connection.sent) for connection in connections]


def test_a_few_sockets_are_written_at_once(connections: list[Any]) -> None:
    hub = Hub()
    hub.fanout.write(dict.fromkeys(connections[:3], (b"x",)))
    assert received(connections[:3]) == [b"x"] * 3
    assert (hub.pauses, hub.spawned) == (0, [])


def test_many_sockets_are_written_in_slices(connections: list[Any]) -> None:
    hub = Hub()
    hub.fanout.write(dict.fromkeys(connections, (b"x",)))
    assert received(connections).count(b"x") == 5
    hub.run()
    assert received(connections) == [b"x"] * CONNECTIONS
    assert hub.pauses == CONNECTIONS / 5 - 1


def test_a_small_batch_overtakes_but_not_for_those_who_still_wait(connections: list[Any]) -> None:
    hub, other = Hub(), FakeConnection()
    hub.fanout.write(dict.fromkeys(connections, (b"first ",)))
    (waiting,) = [one for one in connections if not one.sent][:1]
    (served,) = [one for one in connections if one.sent][:1]
    batch: Batch = dict.fromkeys([waiting, served, other], (b"second",))  # type: ignore[list-item]
    hub.fanout.write(batch)
    assert (other.sent, waiting.sent, served.sent) == ([b"second"], [], [b"first ", b"second"])
    hub.run()
    assert waiting.sent == [b"first second"]


def test_a_second_large_batch_waits_for_the_first(connections: list[Any]) -> None:
    hub = Hub()
    hub.fanout.write(dict.fromkeys(connections, (b"1",)))
    hub.meanwhile = [lambda: None, hub.run]
    hub.fanout.write(dict.fromkeys(connections, (b"2",)))
    assert all(data.startswith(b"1") for data in received(connections))
    hub.run()
    assert received(connections) == [b"12"] * CONNECTIONS


def test_a_connection_that_fails_keeps_nothing_from_the_others(
    connections: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    hub = Hub()
    # One in the first slice, one in a later one.
    broken = [connections[0], connections[-1]]

    def fail(data: bytes) -> None:
        raise RuntimeError("out of order")

    for connection in broken:
        connection.send = fail
    hub.fanout.write({broken[0]: (b"never",), connections[1]: (b"few ",)})
    assert connections[1].sent.pop() == b"few "
    connections = connections[1:-1]
    hub.fanout.write(dict.fromkeys([broken[0], *connections, broken[1]], (b"x",)))
    hub.run()
    assert received(connections) == [b"x"] * (CONNECTIONS - 2)
    assert caplog.text.count("could not be written") == 3
    hub.fanout.write(dict.fromkeys(connections, (b"y",)))
    hub.run()
    assert received(connections) == [b"xy"] * (CONNECTIONS - 2)


def test_many_small_batches_in_a_row_give_way_as_a_large_one_does(connections: list[Any]) -> None:
    hub = Hub()
    for _ in range(CONNECTIONS):
        hub.fanout.write({connections[0]: (b"x",)})
    assert hub.pauses == CONNECTIONS // (fanout.FEW + 1)
    assert received(connections[:1]) == [b"x" * CONNECTIONS]


def test_what_is_due_to_a_connection_can_be_written_before_its_end(connections: list[Any]) -> None:
    hub = Hub()
    hub.fanout.write(dict.fromkeys(connections, (b"x",)))
    (waiting,) = [one for one in connections if not one.sent][:1]
    (served,) = [one for one in connections if one.sent][:1]
    for connection in (waiting, served, FakeConnection()):
        hub.fanout.flush(connection)  # type: ignore[arg-type]
    assert (waiting.sent, served.sent) == ([b"x"], [b"x"])
    # An order may have come together with a batch that still waits for an earlier one.
    (late,) = [one for one in connections if not one.sent][:1]
    hub.meanwhile = [lambda: hub.fanout.flush(late), hub.run]
    hub.fanout.write(dict.fromkeys(connections, (b"y",)))
    assert late.sent == [b"xy"]
    hub.run()
    assert received(connections) == [b"xy"] * CONNECTIONS


@given(
    batches=st.lists(st.sets(st.integers(0, CONNECTIONS - 1)), max_size=12),
    steps=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_each_connection_gets_everything_in_order_whatever_overtakes(
    batches: list[set[int]], steps: list[bool]
) -> None:
    hub, connections = Hub(), [FakeConnection() for _ in range(CONNECTIONS)]
    for number, (members, runs) in enumerate(zip(batches, steps, strict=False)):
        # What waits for an earlier large batch lets it go on.
        hub.meanwhile = [hub.run] * 2
        data = (bytes([number]),)
        batch: Any = {connections[index]: data for index in members}
        hub.fanout.write(batch)
        hub.meanwhile = []
        if runs:
            hub.run()
    hub.run()
    expected = [
        bytes(number for number, members in enumerate(batches) if index in members)
        for index in range(CONNECTIONS)
    ]
    assert received(connections) == expected
