"""What may wait in all outboxes together."""

from __future__ import annotations

import itertools

from tests.unit.loop.conftest import WRITE, Setting
from ws4redis.loop.connection import Phase


def fill(setting: Setting, size: int) -> None:
    """Let about so many bytes wait for the client."""
    piece = bytes(1024)
    while len(setting.connection._outbox or ()) < size:
        setting.connection.send(piece)


def share_backlog(*settings: Setting) -> None:
    for setting in settings[1:]:
        setting.registry.backlog = settings[0].registry.backlog


def test_the_client_for_which_most_waits_is_given_up(make: type[Setting]) -> None:
    small, large, last = (make(outbox_size=2**20, backlog_size=300_000) for _ in range(3))
    share_backlog(small, large, last)
    fill(small, 100_000)
    fill(large, 150_000)
    fill(last, 80_000)
    assert large.connection.phase is Phase.CLOSED
    assert small.connection.phase is last.connection.phase is Phase.OPEN
    assert len(small.registry.backlog) < 200_000
    assert last.metrics.values["limits.backlog"] == 1


def test_what_is_read_does_not_wait_any_more(make: type[Setting]) -> None:
    setting = make()
    fill(setting, 50_000)
    for _ in itertools.takewhile(lambda _: len(setting.registry.backlog), itertools.count()):
        setting.client.recv(65536)
        setting.io.fire(WRITE)
    assert setting.registry.backlog.slowest() is None
    assert setting.connection.phase is Phase.OPEN


def test_nothing_waits_for_those_that_are_gone(make: type[Setting]) -> None:
    setting = make()
    fill(setting, 50_000)
    setting.connection.abort()
    assert len(setting.registry.backlog) == 0
