"""Where a request and its view wait for each other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.waiting import PATIENCE, wait_for
from ws4redis.exceptions import BusError, ConnectionClosed, HandshakeError
from ws4redis.loop.admission import ANONYMOUS
from ws4redis.loop.link import Link
from ws4redis.loop.options import Options
from ws4redis.loop.runner import Runner
from ws4redis.metrics import Metrics
from ws4redis.views.meeting import Acceptance, Answer, Meeting
from ws4redis.views.running import Views

ANSWER = Answer(403, "Forbidden", [], b"")


def no_redis() -> Link:
    raise BusError("There is no Redis here.")


@pytest.fixture
def runner() -> Iterator[Runner]:
    made = Runner(Options(drain_time=0), no_redis, lambda identities: {}, Metrics())
    made.start(own_thread=True)
    yield made
    made.stop()


def test_the_first_decision_counts(runner: Runner) -> None:
    meeting = Meeting(runner)
    assert meeting.decide(ANSWER)
    assert not meeting.decide(Answer(200, "OK", [], b""))
    assert meeting.wait(PATIENCE) is ANSWER


def test_who_comes_too_late_does_not_wait(runner: Runner) -> None:
    meeting = Meeting(runner)
    with pytest.raises(TimeoutError):
        meeting.wait(0.01)
    assert not meeting.decide(ANSWER)
    with pytest.raises(ConnectionClosed):
        meeting.accept(ANONYMOUS, None, {})


def test_a_view_gets_what_the_request_opens(runner: Runner) -> None:
    meeting, line = Meeting(runner), object()
    got: list[Any] = []
    view = threading.Thread(target=lambda: got.append(meeting.accept(ANONYMOUS, "chat", {})))
    view.start()
    decision = meeting.wait(PATIENCE)
    assert isinstance(decision, Acceptance)
    assert decision.subprotocol == "chat"
    decision.line.set_result(line)  # type: ignore[arg-type]
    view.join(PATIENCE)
    assert got == [line]


def test_no_more_views_run_in_threads_than_may(runner: Runner) -> None:
    views, release = Views(), threading.Event()
    for _ in range(2):
        views.start(runner, lambda: release.wait(PATIENCE) and None, 2)
    with pytest.raises(HandshakeError) as refused:
        views.start(runner, release.set, 2)
    assert refused.value.status == 503
    release.set()
    wait_for(lambda: not runner.tasks)


def test_a_system_without_threads_is_a_503_and_costs_no_place(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    views = Views()
    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(HandshakeError) as refused:
        views.start(runner, fail, 2)  # type: ignore[arg-type]
    assert refused.value.status == 503
    assert not runner.tasks
