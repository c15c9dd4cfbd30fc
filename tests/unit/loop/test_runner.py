"""The ways into the loop, without Redis."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator

import gevent
import pytest

from tests.waiting import PATIENCE, wait_for
from ws4redis.exceptions import BusError
from ws4redis.loop.link import Link
from ws4redis.loop.options import Options
from ws4redis.loop.runner import Runner
from ws4redis.metrics import Metrics


class Failure(Exception):
    pass


def fail() -> None:
    raise Failure


def no_redis() -> Link:
    raise BusError("There is no Redis here.")


@pytest.fixture
def runner() -> Iterator[Runner]:
    made = Runner(Options(drain_time=0), no_redis, lambda identities: {}, Metrics())
    made.start(own_thread=True)
    yield made
    made.stop()


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def call(runner: Runner) -> None:
    runner.call(fail)


def offload(runner: Runner) -> None:
    runner.call(runner.offload, fail)


@pytest.mark.parametrize("enter", [call, offload])
def test_a_failure_is_forgotten_without_the_help_of_the_collector(
    runner: Runner, no_collector: None, enter: Callable[[Runner], None]
) -> None:
    try:
        enter(runner)
    except Failure as failure:
        found = weakref.ref(failure)
    # The greenlet that ran it ends in its own time.
    wait_for(lambda: found() is None)


def test_hooks_that_hang_keep_the_loop_from_nothing_of_its_own() -> None:
    attempts: list[int] = []
    blocked = threading.Event()

    def connect() -> Link:
        attempts.append(len(attempts))
        raise BusError("There is no Redis here.")

    made = Runner(Options(drain_time=0, hook_threads=1), connect, lambda identities: {}, Metrics())
    made.start(own_thread=True)
    try:
        for _ in range(3):
            made.call(gevent.spawn, made.offload, blocked.wait)
        before = len(attempts)
        wait_for(lambda: len(attempts) > before + 1)
    finally:
        blocked.set()
        made.stop()


def test_nobody_waits_for_a_loop_that_has_stopped() -> None:
    made = Runner(Options(drain_time=0), no_redis, lambda identities: {}, Metrics())
    made.start(own_thread=True)
    errors: list[BaseException] = []
    begun = threading.Event()

    def wait_forever() -> None:
        begun.set()
        gevent.sleep(3600)

    def work() -> None:
        try:
            made.call(wait_forever)
        except BusError as error:
            errors.append(error)

    caller = threading.Thread(target=work, daemon=True)
    caller.start()
    begun.wait(PATIENCE)
    made.stop()
    caller.join(PATIENCE)
    assert len(errors) == 1
    with pytest.raises(BusError):
        made.call(wait_forever)
    made.post(errors.clear)
    assert errors


def test_what_a_thread_posts_keeps_its_order(runner: Runner) -> None:
    came: list[int] = []
    for number in range(1000):
        runner.post(came.append, number)
    wait_for(lambda: len(came) == 1000)
    assert came == list(range(1000))
