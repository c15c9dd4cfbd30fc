"""What waits for one fetcher, and how it is fetched."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.waiting import PATIENCE
from ws4redis.loop.connection import Phase
from ws4redis.loop.pull import MESSAGE_COST, QUEUE_LIMIT, TOO_SLOW, Fetched, Pull
from ws4redis.wire.outgoing import PLAIN, Outgoing

LIMIT = 10 * (MESSAGE_COST + 100)


class Spy:
    """A connection that notes what is done with it."""

    phase = Phase.OPEN
    place = None

    def __init__(self) -> None:
        self.paused = False
        self.closed: tuple[int, str] | None = None
        self.handler: Any = None
        self.sent: list[bytes] = []

    def hush(self) -> None:
        """Beat no more."""

    def pause(self, who: object) -> None:
        self.paused = True

    def resume(self, who: object) -> None:
        self.paused = False

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self, code: int, reason: str) -> None:
        self.closed = code, reason
        self.handler.on_close(code, reason)


class AtOnce:
    """A loop that runs everything where it is called, and counts how often a client took all."""

    def __init__(self) -> None:
        self.flushed = 0

    def make_signal(self) -> threading.Event:
        return threading.Event()

    def call(self, function: Callable[[], Any]) -> Any:
        return function()

    def post(self, function: Callable[..., object], *args: Any) -> None:
        function(*args)

    def wait_flushed(self, connection: Any, then: Callable[[], object]) -> None:
        self.flushed += 1
        then()


@pytest.fixture
def loop() -> AtOnce:
    return AtOnce()


@pytest.fixture
def pull(loop: AtOnce) -> Pull:
    made = Pull(loop, PLAIN, LIMIT)
    connection: Any = Spy()
    connection.handler = made
    made.on_open(connection)
    return made


def connection(pull: Pull) -> Spy:
    made: Any = pull.connection
    return made  # type: ignore[no-any-return]


def is_readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def test_messages_are_fetched_in_order_and_then_the_end(pull: Pull) -> None:
    pull.on_message(b"one", binary=False)
    pull.accept(b"channel", Outgoing(b"two"))
    pull.on_close(1000, "over")
    assert pull.fetch() == Fetched(None, b"one", False)
    assert pull.fetch() == Fetched("channel", b"two", False)
    assert pull.fetch() is None
    assert pull.fetch() is None
    assert (pull.close_code, pull.close_reason) == (1000, "over")


def test_who_waits_in_vain_is_told(pull: Pull) -> None:
    with pytest.raises(TimeoutError):
        pull.fetch(0.01)
    with pytest.raises(TimeoutError):
        pull.fetch(0)


@pytest.mark.parametrize(
    ("size", "count"), [(1, QUEUE_LIMIT), (LIMIT // 4, 4)], ids=["messages", "bytes"]
)
def test_a_client_is_read_from_as_long_as_there_is_room(pull: Pull, size: int, count: int) -> None:
    for _ in range(count - 1):
        pull.on_message(b"x" * size, binary=True)
        assert not connection(pull).paused
    pull.on_message(b"x" * size, binary=True)
    assert connection(pull).paused
    for _ in range(count // 2 + 1):
        pull.fetch()
    assert not connection(pull).paused
    assert connection(pull).closed is None


def test_a_fetcher_that_was_faster_than_the_pause_is_seen(pull: Pull) -> None:
    spy = connection(pull)

    def pause(who: object) -> None:
        # In another thread all is fetched now, before anybody knows of the pause.
        spy.paused = True
        pull._is_paused = False
        while pull._waiting:
            pull.fetch()
        pull._is_paused = True

    spy.pause = pause  # type: ignore[method-assign]
    for _ in range(QUEUE_LIMIT):
        pull.on_message(b"x", binary=True)
    assert not spy.paused


def test_channels_close_what_is_not_fetched_and_a_client_does_not(
    pull: Pull, caplog: pytest.LogCaptureFixture
) -> None:
    pull.on_message(b"x" * 2 * LIMIT, binary=True)
    for _ in range(10):
        pull.accept(b"channel", Outgoing(b"x" * 100))
    assert connection(pull).closed is None
    pull.accept(b"channel", Outgoing(b"x"))
    assert connection(pull).closed == (1013, TOO_SLOW)
    assert "WS4REDIS_OUTBOX_SIZE" in caplog.text
    # What had come is there still.
    assert sum(1 for _ in iter(pull.fetch, None)) == 11


def test_who_sends_waits_before_too_much_waits_for_the_client(pull: Pull, loop: AtOnce) -> None:
    size = LIMIT // 4 - MESSAGE_COST - 100
    for flushed in (0, 0, 1, 1, 2):
        pull.send(b"x" * size, is_binary=True)
        assert loop.flushed == flushed
    assert len(connection(pull).sent) == 5


def test_a_message_of_any_size_is_sent_when_nothing_else_waits(pull: Pull, loop: AtOnce) -> None:
    pull.send(b"x" * 3 * LIMIT, is_binary=True)
    assert loop.flushed == 0
    pull.send(b"x", is_binary=True)
    pull.send(b"x" * 3 * LIMIT, is_binary=True)
    assert loop.flushed == 2
    assert len(connection(pull).sent) == 3


def test_who_sends_waits_for_nobody_who_is_gone(pull: Pull, loop: AtOnce) -> None:
    pull.on_close(1006, "")
    for _ in range(3):
        pull.send(b"x" * LIMIT, is_binary=True)
    assert loop.flushed == 0


def test_the_descriptor_tells_whether_there_is_something(pull: Pull) -> None:
    pull.on_message(b"early", binary=False)
    descriptor = pull.fileno()
    assert is_readable(descriptor)
    pull.fetch()
    assert not is_readable(descriptor)
    pull.on_message(b"one", binary=False)
    pull.on_message(b"two", binary=False)
    pull.fetch()
    assert is_readable(descriptor)
    pull.fetch()
    assert not is_readable(descriptor)
    pull.on_close(1000, "")
    assert is_readable(descriptor)
    pull.release()


def test_a_descriptor_that_was_given_back_is_left_alone(pull: Pull) -> None:
    descriptor = pull.fileno()
    pull.release()
    # Somebody else gets the same number.
    foreign = os.eventfd(0, os.EFD_NONBLOCK)
    assert foreign == descriptor
    try:
        pull.on_message(b"late", binary=False)
        pull.on_close(1000, "")
        assert not is_readable(foreign)
        os.eventfd_write(foreign, 1)
        pull.fetch()
        assert is_readable(foreign)
        assert pull.fileno() == -1
    finally:
        os.close(foreign)


def test_a_fetcher_that_looks_again_wakes_the_others(pull: Pull) -> None:
    """One that saw nothing clears the signal, which was meant for another one, too."""
    woken = threading.Event()
    clear = pull._signal.clear

    def close_and_clear() -> None:
        # The end comes when both have looked, and this one is the later to clear.
        pull.on_close(1000, "")
        clear()

    pull._signal.clear = close_and_clear  # type: ignore[method-assign]
    assert pull.fetch() is None

    def wait() -> None:
        pull._signal.wait()
        woken.set()

    threading.Thread(target=wait, daemon=True).start()
    assert woken.wait(PATIENCE)


def test_each_message_goes_to_one_of_many_threads(pull: Pull) -> None:
    came: list[bytes] = []

    def work() -> None:
        while (fetched := pull.fetch()) is not None:
            came.append(fetched.payload)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    sent = [str(number).encode() for number in range(5000)]
    for payload in sent:
        pull.on_message(payload, binary=False)
    pull.on_close(1000, "")
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(came) == sorted(sent)
