"""What a position is worth, whatever happens: a model decides, a real Redis answers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.integration.test_history import Channel, own_redis

_numbers = itertools.count()
MAX_EPOCHS = 15
"""More former epochs than that are not remembered."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with own_redis(tmp_path_factory.mktemp("redis")) as server, server.client() as connection:
        yield connection


class HistoryMachine(RuleBasedStateMachine):
    """One channel, to which all happens that a Redis can do; time stands still.

    ``line`` are the messages that the Redis of this moment has ever seen, of which the first
    ``gone`` are not kept any more.
    """

    def __init__(self, client: redis.Redis) -> None:
        super().__init__()
        self._client = client
        self._channel = Channel(f"model{next(_numbers)}")
        self._keys = (self._channel.stream, self._channel.positions)
        self.line: tuple[str, ...] = ()
        self.gone = 0
        self.epochs = 0
        self.given = {self._channel.beginning: self.line}
        self.saved: tuple[Any, ...] = ((None, None), (), 0)

    @rule(count=st.integers(1, 3))
    def publish(self, count: int) -> None:
        for _ in range(count):
            payload = str(next(_numbers))
            self.line += (payload,)
            position = self._channel.publish(payload, idempotency_key=payload)
            # No position is ever given to two different things.
            assert self.given.setdefault(position, self.line) == self.line

    @precondition(lambda self: self.line)
    @rule()
    def publish_again(self) -> None:
        before = self._channel.read()
        assert self._channel.publish("again", idempotency_key=self.line[-1]) == before.position

    @precondition(lambda self: self.epochs < MAX_EPOCHS)
    @rule()
    def restart(self) -> None:
        """Start again with all data: the next publisher finds another id."""
        self.epochs += 1
        if self._client.exists(self._channel.positions):
            self._client.hset(self._channel.positions, "server", f"before{self.epochs}")

    @rule()
    def save(self) -> None:
        """Remember what a replica that falls behind, or the disk, has of it."""
        dumps = tuple(self._client.dump(key) for key in self._keys)
        self.saved = (dumps, self.line, self.gone)

    @precondition(lambda self: self.epochs < MAX_EPOCHS)
    @rule()
    def fail_over(self) -> None:
        """Go on with what was remembered."""
        dumps, self.line, self.gone = self.saved
        for key, dump in zip(self._keys, dumps, strict=True):
            self._client.delete(key)
            if dump is not None:
                self._client.restore(key, 0, dump)
        self.restart()

    @rule(length=st.integers(0, 4))
    def trim(self, length: int) -> None:
        self._client.xtrim(self._channel.stream, maxlen=length, approximate=False)
        self.gone = max(self.gone, len(self.line) - length)

    @rule()
    def expire(self) -> None:
        self._client.delete(self._channel.stream)
        self.gone = len(self.line)

    @rule()
    def expire_with_its_positions(self) -> None:
        self._client.delete(*self._keys)
        self.line, self.gone = (), 0

    @invariant()
    def all_or_nothing_is_read(self) -> None:
        for position, line in self.given.items():
            reading = self._channel.read(position)
            offsets = list(reading.messages)
            assert offsets == list(range(position.offset + 1, position.offset + 1 + len(offsets)))
            is_good = self.line[: len(line)] == line and len(line) >= self.gone
            assert reading.is_whole == is_good, (position, line, self.line, self.gone)
            if is_good:
                found = [payload.decode() for payload in reading.messages.values()]
                assert line + tuple(found) == self.line


def test_whatever_happens_all_or_nothing_is_read(client: redis.Redis) -> None:
    run_state_machine_as_test(
        lambda: HistoryMachine(client),
        settings=settings(
            max_examples=200,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
