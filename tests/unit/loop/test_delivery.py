"""What websockets get, whatever they, Redis and the network do, in any order.

Real is the whole loop of a process; the test is Redis, and the browsers at the other ends of the
sockets. Nothing happens beside the steps, so that a failure is shrunk to the shortest way there.
"""

from __future__ import annotations

import contextlib
import socket
from collections import Counter
from collections.abc import Iterable
from typing import Any
from unittest import mock

import gevent
import hypothesis.strategies as st
from gevent.socket import wait_read
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from tests.unit.loop.errors import noted_errors
from tests.unit.loop.far_end import CLOSE, FarEnd
from tests.unit.loop.redis_model import Published, RedisModel, Start
from tests.waiting import wait_for
from ws4redis.exceptions import BusError
from ws4redis.loop import backoff, bus, dispatcher, fanout
from ws4redis.loop.connection import Phase
from ws4redis.loop.facility import Facility, Membership
from ws4redis.loop.options import Options
from ws4redis.loop.registry import TICK
from ws4redis.loop.runner import Runner
from ws4redis.metrics import Metrics
from ws4redis.wire.outgoing import PLAIN, Encoding

CHANNELS = (b"broadcast:a", b"user:john:a")
OUTBOX = 20_000
LARGE = 3000
"""Bytes of a message of which few fit into a socket."""
QUIET = 60
"""Turns of the hub without any traffic after which nothing is on its way any more."""

some_channels = st.sampled_from([CHANNELS, CHANNELS[:1], CHANNELS[1:], ()])
memberships = st.builds(
    Membership,
    subscriptions=some_channels,
    publications=some_channels,
    echo=st.booleans(),
    encoding=st.sampled_from([PLAIN, Encoding(binary=True)]),
)
messages = st.tuples(st.sampled_from(CHANNELS), st.booleans(), st.sampled_from([0, 0, LARGE]))


class Browser(FarEnd):
    """The far end of one websocket, and what it has to get."""

    def __init__(self, membership: Membership, asked: dict[bytes, int]) -> None:
        super().__init__()
        self.membership = membership
        self.asked = asked
        """The how manieth GET of each channel is that of this websocket."""
        self.starts: dict[bytes, Start] = {}
        self.opening: gevent.Greenlet | None = None
        self.received: list[bytes] = []
        self.sent: list[bytes] = []

    def take(self, opcode: int, payload: bytes) -> None:
        assert opcode == (2 if self.membership.encoding.binary else 1)
        self.received.append(payload)


class Delivery(RuleBasedStateMachine):
    browsers = Bundle("browsers")

    def __init__(self) -> None:
        super().__init__()
        self.redis = RedisModel()
        self.all: list[Browser] = []
        self.asked: Counter[bytes] = Counter()
        self.sent_after: dict[bytes, int] = {}
        """How often the link had been lost when a browser sent a message."""
        self.stack = contextlib.ExitStack()
        self.errors = noted_errors(self.stack)
        self.stack.enter_context(mock.patch.object(backoff, "MAX_DELAY", 0))
        # On a busy machine, a test may take longer than a Redis that is there.
        self.stack.enter_context(mock.patch.object(bus, "CHECK_INTERVAL", 3600))
        # Each fan-out to more than one websocket is cut after each of them.
        for name, value in (("SLICE", 0), ("STEP", 1), ("FEW", 1)):
            self.stack.enter_context(mock.patch.object(fanout, name, value))
        options = Options(
            ping_interval=None, outbox_size=OUTBOX, redis_timeout=1000, drain_time=0, expire=60
        )
        self.runner = Runner(options, self.redis.connect, lambda identities: {}, Metrics())
        # To connect in a thread would bring chance into the order of events.
        self.runner._is_patched = True
        self.ready, self.other = socket.socketpair()
        self.other.send(b"!")
        self.runner.start(own_thread=False)
        # Nothing happens by itself.
        self.runner._timer.stop()
        self._run()

    # What happens

    @initialize(target=browsers, memberships=st.lists(memberships, min_size=2, max_size=4))
    def begin(self, memberships: list[Membership]) -> Any:
        return multiple(*(self.ask(membership, is_opened=True) for membership in memberships))

    @rule(target=browsers, membership=memberships, is_opened=st.booleans())
    @precondition(lambda self: self.redis.is_there.is_set() and len(self.all) < 12)
    def come(self, membership: Membership, is_opened: bool) -> Browser:
        return self.ask(membership, is_opened)

    def ask(self, membership: Membership, is_opened: bool) -> Browser:
        browser = Browser(membership, {name: self.asked[name] for name in membership.subscriptions})
        self.asked.update(membership.subscriptions)
        browser.opening = gevent.spawn(self._prepare, membership)
        gevent.sleep(0)
        self.all.append(browser)
        if is_opened:
            self.arrive()
            self.open(browser, is_given_up=False)
        return browser

    @rule(browser=browsers, is_given_up=st.sampled_from([False, False, False, True]))
    def finish(self, browser: Browser, is_given_up: bool) -> None:
        self.open(browser, is_given_up)

    def open(self, browser: Browser, is_given_up: bool) -> None:
        if browser.opening is None or not browser.opening.ready():
            return
        facility, browser.opening = browser.opening.value, None
        if isinstance(facility, BusError):
            browser.has_ended = True
        elif is_given_up:
            browser.has_ended = True
            facility.leave()
        else:
            browser.open(self.runner, facility)

    @rule(published=st.lists(messages, min_size=1, max_size=12))
    def publish(self, published: list[tuple[bytes, bool, int]]) -> None:
        for channel, persisted, size in published:
            payload = b"%d" % len(self.redis.log) + b"." * size
            self.redis.publish(channel, payload, persisted=persisted)

    @rule(browser=browsers, count=st.integers(1, 3), is_read=st.booleans())
    def send(self, browser: Browser, count: int, is_read: bool) -> None:
        if not browser.is_open:
            return
        for _ in range(count):
            payload = b"%d from %d" % (len(browser.sent), self.all.index(browser))
            browser.sent.append(payload)
            self.sent_after[payload] = self.redis.cuts
            browser.send(payload)
        if is_read:
            self._turn()

    @rule(browser=browsers, is_blocked=st.booleans())
    def block(self, browser: Browser, is_blocked: bool) -> None:
        browser.is_blocked = is_blocked

    @rule(browser=consumes(browsers), way=st.sampled_from(["close", "vanish", "going", "abort"]))
    def end(self, browser: Browser, way: str) -> None:
        if browser.connection is None:
            return
        browser.has_ended = True
        if way == "close":
            browser.send(b"\x03\xe8", CLOSE)
        elif way == "vanish":
            browser.vanish()
        elif way == "going":
            browser.connection.close(1001)
        else:
            browser.connection.abort()

    @rule(change=st.sampled_from(["cut", "cut for long", "come back", "come back"]))
    def link(self, change: str) -> None:
        if change != "come back":
            self._note_starts()
            self.asked.clear()
        (self.redis.is_there.clear if change == "cut for long" else self.redis.is_there.set)()
        if change != "come back":
            self.redis.cut()
        self._run()

    @rule(what=st.sampled_from(["work", "deliver", "turn"]), count=st.none() | st.integers(1, 5))
    def move(self, what: str, count: int | None) -> None:
        if what == "turn":
            self._turn()
        else:
            (self.redis.work if what == "work" else self.redis.deliver)(count)

    @rule()
    def everything_arrives(self) -> None:
        self.arrive()

    @rule()
    def wait_for_late_ones(self) -> None:
        for _ in range(round(self.runner.options.close_timeout / TICK) + 1):
            self.runner.registry.tick()

    def arrive(self) -> None:
        """Let all that is on its way arrive; then nothing may be missing."""
        quiet = 0
        while quiet < QUIET:
            self._turn()
            moved = [self.redis.work(), self.redis.deliver(), *(one.read() for one in self.all)]
            quiet = 0 if any(moved) else quiet + 1
        self._note_starts()
        for browser in self.all:
            self._check_arrived(browser)
        self._check_published()
        if self.runner.bus.is_connected:
            assert self.redis.subscribed == set(self.runner.channels())

    # What is to be true after each step

    @invariant()
    def holds(self) -> None:
        assert not self.errors, f"Something raised on the hub: {self.errors}"
        for follower in self.runner.dispatcher._followers.values():
            self._check_follower(follower)
        assert all(one.phase is not Phase.CLOSED for one in self.runner.registry)
        self._note_starts()
        for browser in self.all:
            self._check_order(browser)

    def teardown(self) -> None:
        try:
            self.redis.is_there.set()
            self._run()
            for browser in self.all:
                browser.is_blocked = False
            self.arrive()
            self.holds()
        finally:
            self._end()
        assert list(self.runner.channels()) == [self.runner.options.control]

    # How it is seen

    def _prepare(self, membership: Membership) -> Facility | BusError:
        try:
            return self.runner.prepare(membership)
        except BusError as error:
            return error

    def _run(self) -> None:
        """Let the loop notice what happened to its link."""
        wait_for(self._knows_link)

    def _turn(self) -> None:
        """Let the hub handle all that is ready; what is always ready tells that it looked."""
        wait_read(self.ready.fileno())
        gevent.sleep(0)

    def _knows_link(self) -> bool:
        self._turn()
        there = self.redis.is_there.is_set()
        return self.runner.bus.is_connected == self.redis.is_linked == there

    def _note_starts(self) -> None:
        for browser in self.all:
            for channel, number in browser.asked.items():
                starts = self.redis.starts[channel]
                if channel not in browser.starts and number < len(starts):
                    browser.starts[channel] = starts[number]

    def _expected(self, browser: Browser) -> tuple[list[bytes], list[bytes]]:
        """Return what a browser has to receive: the persisted messages, and the live ones."""
        starts = browser.starts
        persisted = [start.persisted.payload for start in starts.values() if start.persisted]
        live = [
            one.payload
            for one in self.redis.log
            if one.is_pushed
            and one.channel in starts
            and one.number >= starts[one.channel].number
            and not self._is_own(browser, one)
        ]
        return persisted, live

    def _is_own(self, browser: Browser, published: Published) -> bool:
        return not browser.membership.echo and published.payload in browser.sent

    def _check_follower(self, follower: dispatcher.Follower) -> None:
        """See that the dispatcher remembers open websockets only."""
        assert follower, "A channel without receivers."
        settled = [connection for some in follower.settled.values() for connection in some]
        assert all(connection.phase is Phase.OPEN for connection in settled)
        careful: Iterable[Any] = follower.careful
        assert not any(one.is_closed for one in careful if one is not self.runner.sweep)

    def _check_order(self, browser: Browser) -> None:
        persisted, live = self._expected(browser)
        first, rest = browser.received[: len(persisted)], browser.received[len(persisted) :]
        assert not Counter(first) - Counter(persisted), (first, persisted)
        assert rest == live[: len(rest)], (rest, live)

    def _check_arrived(self, browser: Browser) -> None:
        if browser.connection is None or browser.has_ended:
            assert browser.opening is None or browser.opening.ready(), "It waits for ever."
            return
        persisted, live = self._expected(browser)
        missing = len(persisted) + len(live) - len(browser.received)
        if browser.connection.phase is not Phase.OPEN:
            assert sum(map(len, live[-missing:])) + 10 * missing > OUTBOX, "It was not that slow."
        elif not browser.is_blocked:
            assert missing == 0, (browser.received, persisted, live)

    def _check_published(self) -> None:
        """See that what browsers sent was published once, in order, and nothing of it lost."""
        for browser in self.all:
            for channel in browser.membership.publications:
                published = [
                    one.payload
                    for one in self.redis.log
                    if one.channel == channel and one.payload in browser.sent
                ]
                assert published == [one for one in browser.sent if one in published]
                missing = [one for one in browser.sent if one not in published]
                if browser.is_open and self.runner.bus.is_connected:
                    assert all(self.sent_after[one] < self.redis.cuts for one in missing)

    def _end(self) -> None:
        for browser in self.all:
            if browser.opening is not None:
                browser.opening.kill()
                if isinstance(browser.opening.value, Facility):
                    browser.opening.value.leave()
            if browser.connection is not None:
                browser.connection.abort()
            browser.vanish()
        self.runner.stop()
        self.runner._timer.close()
        self.redis.cut()
        self.ready.close()
        self.other.close()
        self.stack.close()


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
