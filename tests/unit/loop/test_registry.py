from __future__ import annotations

from typing import Any

import pytest

from tests.unit.loop.conftest import READ, Setting
from tests.unit.wire import client_frame
from ws4redis.loop.connection import Phase
from ws4redis.loop.registry import TICK
from ws4redis.loop.websocket import PING


def tick(setting: Setting, seconds: float) -> None:
    for _ in range(round(seconds / TICK)):
        setting.registry.tick()


def test_a_silent_peer_is_pinged_then_given_up_by_name(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    setting = make(ping_interval=2)
    tick(setting, 2)
    assert setting.client.recv(100) == b"\x89\x00"
    tick(setting, 2)
    assert setting.connection.phase is Phase.CLOSED
    assert setting.metrics.values["connections.silent"] == 1
    assert "answered no ping within 2 s" in caplog.text


def test_without_an_interval_nobody_is_pinged_or_given_up(make: Any) -> None:
    setting = make(ping_interval=None)
    tick(setting, 100)
    setting.connection.send(b"anything")
    assert setting.client.recv(100) == b"anything"
    assert setting.connection.phase is Phase.OPEN


def test_a_peer_that_answers_stays(make: Any) -> None:
    setting = make(ping_interval=1)
    for _ in range(5):
        tick(setting, 1)
        setting.client_sends(client_frame(10))
    assert setting.connection.phase is Phase.OPEN


def test_a_paused_peer_is_not_taken_for_a_silent_one(make: Any) -> None:
    setting = make(ping_interval=1)
    setting.connection.pause()
    tick(setting, 5)
    assert setting.connection.phase is Phase.OPEN


def test_heartbeats_come_once_in_an_interval(make: Any) -> None:
    setting = make(heartbeat=b"beat", heartbeat_interval=1, ping_interval=100)
    tick(setting, 3)
    assert setting.client.recv(100).replace(PING, b"") == b"\x81\x04beat" * 3


def test_without_a_heartbeat_only_pings_are_sent(make: Any) -> None:
    setting = make(ping_interval=10)
    for _ in range(3):
        tick(setting, 10)
        setting.client_sends(client_frame(10))
    assert setting.client.recv(100) == PING * 3


def test_a_peer_that_does_not_answer_our_close_is_dropped(make: Any) -> None:
    setting = make(close_timeout=1)
    setting.connection.close()
    tick(setting, 0.9)
    assert setting.connection.phase is Phase.CLOSING
    tick(setting, 0.2)
    assert setting.connection.phase is Phase.CLOSED
    assert len(setting.registry) == 0


def test_a_peer_that_goes_on_sending_after_its_close_is_dropped(make: Any) -> None:
    setting = make(close_timeout=1)
    setting.client_sends(client_frame(8))
    for _ in range(15):
        setting.client_sends(b"noise")
        setting.registry.tick()
        if setting.connection.phase is Phase.CLOSED:
            break
    assert setting.connection.phase is Phase.CLOSED
    setting.io.fire(READ)


def test_all_open_connections_can_be_walked_through(make: Any) -> None:
    setting = make()
    assert list(setting.registry) == [setting.connection]
    assert setting.metrics.values["connections.opened"] == 1
