"""What websockets get of channels with a history, whatever they, Redis and the network do.

Real are the whole loops of two processes; the test is Redis, and the browsers, which come back to
either of them with their last position. See ``test_delivery.py`` for channels without a history.
"""

from __future__ import annotations

import contextlib
import socket
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
from tests.unit.loop.far_end import CLOSE
from tests.unit.loop.history_model import Data, HistoryLink, Server
from tests.unit.loop.recovering import Browser, RawBrowser, V1Browser
from tests.waiting import wait_for
from ws4redis import history
from ws4redis.channels import Namespace
from ws4redis.exceptions import BusError, HandshakeError
from ws4redis.history import NOWHERE, Histories, Position, rules
from ws4redis.loop import backoff, bus, fanout, recovery
from ws4redis.loop.connection import Handler, Phase
from ws4redis.loop.facility import Facility, Membership
from ws4redis.loop.multiplex import Multiplex
from ws4redis.loop.options import Options
from ws4redis.loop.registry import TICK
from ws4redis.loop.runner import Runner
from ws4redis.metrics import Metrics
from ws4redis.wire import v1
from ws4redis.wire.outgoing import Encoding, Form

FACILITIES = {"h": (b"broadcast:h", b"user:john:h"), "p": (b"broadcast:p",)}
KEPT = set(FACILITIES["h"])
HISTORIES = Histories(Namespace(), rules({"h": {"length": 5, "expire": 60}}))
OUTBOX = 20_000
LARGE = 3000
"""Bytes of a message of which few fit into a socket."""
QUIET = 40
"""Turns of the hub without any traffic after which nothing is on its way any more."""

channels = st.sampled_from([*FACILITIES["h"], b"broadcast:h", b"broadcast:p"])
places = st.integers(0, 1)
wishes = st.fixed_dictionaries(
    {
        "channels": st.sampled_from([("h", 2), ("h", 1), ("h", 1), ("p", 1)]),
        "writes": st.booleans(),
        "echo": st.booleans(),
        "since": st.sampled_from(["", "own", "own", "old", "wrong"]),
        "index": st.integers(0, 30),
    }
)
Wish = dict[str, Any]


class Place:
    """One process, and its link."""

    def __init__(self, server: Server) -> None:
        self.link = HistoryLink(server)
        options = Options(
            ping_interval=None,
            outbox_size=OUTBOX,
            redis_timeout=1000,
            drain_time=0,
            expire=60,
            histories=HISTORIES,
        )
        self.runner = Runner(options, self.link.connect, lambda identities: {}, Metrics())
        # To connect in a thread would bring chance into the order of events.
        self.runner._is_patched = True
        self.runner.start(own_thread=False)
        # Nothing happens by itself.
        self.runner._timer.stop()

    @property
    def knows_link(self) -> bool:
        """Whether the loop has noticed what happened to its link."""
        there = self.link.is_there.is_set()
        return self.runner.bus.is_connected == self.link.is_linked == there

    def prepare(self, membership: Membership) -> Facility | BusError:
        try:
            return self.runner.prepare(membership)
        except BusError as error:
            return error

    def subscribe(self, command: v1.Subscribe, held: int) -> Facility:
        """Join what a client asks for over its open websocket."""
        flags = [flag.encode() for flag in command.flags]
        membership = Membership(
            name=command.facility,
            subscriptions=tuple(flag for flag in flags if flag != b"echo"),
            publications=tuple(FACILITIES[command.facility][:1]),
            echo=b"echo" in flags,
            encoding=Encoding(form=Form.V1),
            since={
                channel.encode(): Position.parse(text) or NOWHERE
                for channel, text in command.since.items()
            },
            command=command.id,
        )
        try:
            return self.runner.prepare(membership)
        except BusError as error:
            raise HandshakeError(503, str(error)) from error

    def see_rest(self) -> None:
        """See that nothing is on its way."""
        courses = self.runner.recovery._courses
        assert not any(course.waiting for course in courses.values())
        if self.runner.bus.is_connected:
            assert not any(course.is_behind for course in courses.values())
            assert self.link.subscribed == set(self.runner.channels())

    def see_nothing(self) -> None:
        """See that nothing of any browser is left."""
        runner = self.runner
        assert list(runner.channels()) == [runner.options.control]
        assert not runner.recovery._courses
        assert not runner.recovery._live
        assert not any(runner.recovery._checks._slots)
        assert not runner.bus._pending
        assert not len(runner.registry)

    def end(self) -> None:
        self.runner.stop()
        self.runner._timer.close()
        self.link.cut()


class Recovery(RuleBasedStateMachine):
    browsers = Bundle("browsers")
    gone = Bundle("gone")

    def __init__(self) -> None:
        super().__init__()
        self.server = Server()
        self.all: list[Browser] = []
        self.commands = 0
        self.has_hole = False
        """Whether messages may be missing of which only the next one or a check tells."""
        self.stack = contextlib.ExitStack()
        self.errors = noted_errors(self.stack)
        for module, name, value in (
            (backoff, "MAX_DELAY", 0),
            # On a busy machine, a test may take longer than a Redis that is there.
            (bus, "CHECK_INTERVAL", 3600),
            (history, "PAGE", 2),
            (recovery, "CHECKS", 1),
            # Each fan-out to more than one websocket is cut after each of them.
            (fanout, "SLICE", 0),
            (fanout, "STEP", 1),
            (fanout, "FEW", 1),
        ):
            self.stack.enter_context(mock.patch.object(module, name, value))
        self.ready, self.other = socket.socketpair()
        self.other.send(b"!")
        self.places = [Place(self.server), Place(self.server)]
        self._run()

    # What browsers do

    @initialize(target=browsers, wishes=st.lists(wishes, min_size=2, max_size=3))
    def begin(self, wishes: list[Wish]) -> Any:
        return multiple(*(self.ask(0, wish, V1Browser, is_opened=True) for wish in wishes))

    @rule(
        target=browsers,
        place=places,
        wish=wishes,
        kind=st.sampled_from([RawBrowser, V1Browser, V1Browser]),
        is_opened=st.booleans(),
    )
    @precondition(lambda self: len(self.all) < 12)
    def come(self, place: int, wish: Wish, kind: type[Browser], is_opened: bool) -> Browser:
        return self.ask(place, wish, kind, is_opened=is_opened)

    @rule(target=browsers, other=consumes(gone), place=places, wish=wishes, is_opened=st.booleans())
    def come_back(self, other: V1Browser, place: int, wish: Wish, is_opened: bool) -> Browser:
        return self.ask(place, wish, V1Browser, other, is_opened=is_opened)

    def ask(
        self,
        place: int,
        wish: Wish,
        kind: type[Browser],
        other: V1Browser | None = None,
        *,
        is_opened: bool,
    ) -> Browser:
        facility, count = wish["channels"]
        subscriptions = FACILITIES[facility][:count]
        form = Form.V1 if kind is V1Browser else Form.RAW
        since = self._since(wish, other) if kind is V1Browser else {}
        membership = Membership(
            name=facility,
            subscriptions=subscriptions,
            publications=subscriptions[: wish["writes"]],
            echo=wish["echo"],
            encoding=Encoding(form=form),
            since=since,
        )
        browser = kind(self.server, self.places[place].link, membership, KEPT)
        if isinstance(browser, V1Browser):
            browser.asked[None] = (facility, since)
            if other is not None:
                browser.inherit(other)
        browser.opening = gevent.spawn(self.places[place].prepare, membership)
        gevent.sleep(0)
        self.all.append(browser)
        if is_opened:
            if not self.places[place].link.is_there.is_set():
                self.come_to_life(place)
            self.arrive()
            self.open(browser)
        return browser

    @rule(browser=browsers)
    def open(self, browser: Browser) -> None:
        if browser.opening is None or not browser.opening.ready():
            return
        facility, browser.opening = browser.opening.value, None
        if isinstance(facility, BusError):
            browser.has_ended = True
            return
        place = self._place(browser)
        handler: Handler = facility
        if isinstance(browser, V1Browser):
            handler = Multiplex(facility, place.subscribe, None)
        browser.note_opened()
        browser.open(place.runner, handler)

    @rule(browser=browsers, wish=wishes)
    def subscribe(self, browser: Browser, wish: Wish) -> None:
        if not browser.is_open or not isinstance(browser, V1Browser):
            return
        facility, count = wish["channels"]
        names = FACILITIES[facility][:count]
        since = self._since(wish, browser)
        self.commands += 1
        browser.asked[self.commands] = (facility, since)
        told = {name.decode(): str(position) for name, position in since.items()}
        # Whoever gets some of its own messages back may get all.
        flags = [name.decode() for name in names] + ["echo"] * browser.membership.echo
        head = {"id": self.commands, "facility": facility, "channels": flags, "since": told}
        browser.send(v1.head("subscribe", **head))

    @rule(browser=browsers, facility=st.sampled_from(list(FACILITIES)))
    def unsubscribe(self, browser: Browser, facility: str) -> None:
        if browser.is_open and isinstance(browser, V1Browser):
            self.commands += 1
            browser.asked[self.commands] = (facility, {})
            browser.send(v1.head("unsubscribe", id=self.commands, facility=facility))

    @rule(browser=browsers, count=st.integers(1, 3), is_read=st.booleans())
    def send(self, browser: Browser, count: int, is_read: bool) -> None:
        if not browser.is_open or not browser.membership.publications:
            return
        head = b""
        if isinstance(browser, V1Browser):
            if browser.membership.name not in browser.active or browser.asked:
                return
            head = v1.head("publish", facility=browser.membership.name) + b"\n"
        for _ in range(count):
            payload = b"%d from %d" % (len(browser.sent), self.all.index(browser))
            browser.note_sent(payload)
            browser.send(head + payload)
        if is_read:
            self._turn()

    @rule(browser=browsers)
    def read(self, browser: Browser) -> None:
        browser.read()

    @rule(browser=browsers, is_blocked=st.booleans())
    def block(self, browser: Browser, is_blocked: bool) -> None:
        browser.is_blocked = is_blocked

    @rule(
        target=gone,
        browser=consumes(browsers),
        way=st.sampled_from(["close", "vanish", "vanish", "going", "abort"]),
    )
    def end(self, browser: Browser, way: str) -> Any:
        if browser.connection is None:
            self._give_up(browser)
        elif way == "close":
            browser.send(b"\x03\xe8", CLOSE)
        elif way == "going":
            browser.connection.close(1001)
        elif way == "abort":
            browser.connection.abort()
        # What it has not read it does not know.
        browser.vanish()
        return browser if isinstance(browser, V1Browser) else multiple()

    # What happens to Redis and on the way there

    @rule(
        published=st.lists(
            st.tuples(channels, st.booleans(), st.booleans(), st.sampled_from([0, 0, 0, LARGE])),
            min_size=1,
            max_size=8,
        )
    )
    def publish(self, published: list[tuple[bytes, bool, bool, int]]) -> None:
        for channel, persisted, is_foreign, size in published:
            payload = self.server.payload(size)
            if channel not in KEPT or (is_foreign and not size):
                self.server.publish(channel, payload, persisted=persisted)
            else:
                self._keep(channel, payload, persisted)

    @rule(channel=st.sampled_from(FACILITIES["h"]), key=st.sampled_from([b"1", b"2"]))
    def publish_once(self, channel: bytes, key: bytes) -> None:
        self._keep(channel, self.server.payload(), persisted=False, once=channel + key)

    @rule(channel=st.sampled_from(FACILITIES["h"]), kept=st.integers(0, 3))
    def trim(self, channel: bytes, kept: int) -> None:
        stream = self.server.data.channel(channel)
        stream.drop(min(kept, len(stream.stream)))

    @rule()
    def pass_time(self) -> None:
        # What is followed is looked at far more often.
        self.arrive()
        self._check_all()
        self.server.pass_time()

    @rule()
    def replicate(self) -> None:
        self.server.replica = self.server.data.copy()

    @rule(
        data=st.sampled_from(["all", "replica", "none"]),
        is_cut=st.sampled_from([True, True, False]),
    )
    def fail_over(self, data: str, is_cut: bool) -> None:
        """Begin with another server; behind a proxy nobody may notice."""
        if data == "all":
            self.server.fail_over(self.server.data.copy())
        else:
            self.server.fail_over(self.server.replica if data == "replica" else Data())
        if is_cut:
            for place in self.places:
                self._cut(place)
            self._run()
        self.has_hole |= not is_cut

    @rule()
    def forget_scripts(self) -> None:
        self.server.scripts.clear()

    @rule(
        place=places,
        change=st.sampled_from(["cut", "cut for long", "come back", "come back"]),
    )
    def change_link(self, place: int, change: str) -> None:
        link = self.places[place].link
        (link.is_there.clear if change == "cut for long" else link.is_there.set)()
        if change != "come back":
            self._cut(self.places[place])
        self._run()

    def come_to_life(self, place: int) -> None:
        self.change_link(place, "come back")

    @rule(place=places, last=st.booleans())
    def lose(self, place: int, last: bool) -> None:
        self.places[place].link.lose(last)
        self.has_hole = True

    @rule(
        place=places,
        what=st.sampled_from(["work", "deliver", "deliver piece", "turn", "check"]),
        count=st.none() | st.integers(1, 4),
    )
    def move(self, place: int, what: str, count: int | None) -> None:
        link, runner = self.places[place].link, self.places[place].runner
        if what == "turn":
            self._turn()
        elif what == "work":
            link.work(count)
        elif what == "check":
            self._check(runner)
        else:
            link.deliver(count, 7 if what == "deliver piece" else None)

    @rule()
    def everything_arrives(self) -> None:
        self.arrive()

    @rule()
    def wait_for_late_ones(self) -> None:
        for place in self.places:
            for _ in range(round(place.runner.options.close_timeout / TICK) + 1):
                place.runner.registry.tick()

    def arrive(self) -> None:
        """Let all that is on its way arrive; then nothing may be missing."""
        self._settle()
        if self.has_hole:
            self._check_all()
        for place in self.places:
            place.see_rest()
        for browser in self.all:
            self._see_arrived(browser)

    # What is to be true after each step

    @invariant()
    def holds(self) -> None:
        assert not self.errors, f"Something raised on the hub: {self.errors}"
        for place in self.places:
            for follower in place.runner.dispatcher._followers.values():
                assert follower, "A channel without receivers."
                settled = [one for some in follower.settled.values() for one in some]
                assert all(connection.phase is Phase.OPEN for connection in settled)

    def teardown(self) -> None:
        try:
            if hasattr(self, "places"):
                self._see_end()
        finally:
            self._end()

    def _see_end(self) -> None:
        for number, browser in enumerate(self.all):
            browser.is_blocked = False
            self.come_to_life(number % 2)
        self.arrive()
        self.holds()
        for browser in self.all:
            self._give_up(browser)
            browser.vanish()
        self._settle()
        self.wait_for_late_ones()
        self._settle()
        self.holds()
        for place in self.places:
            place.see_nothing()

    # How it is done

    def _keep(self, channel: bytes, payload: bytes, persisted: bool, once: bytes = b"") -> None:
        epoch = f"e{len(self.server.messages)}"
        self.server.keep(channel, payload, persisted=persisted, epoch=epoch, once=once)

    def _since(self, wish: Wish, browser: V1Browser | None) -> dict[bytes, Position]:
        facility, count = wish["channels"]
        names = [name for name in FACILITIES[facility][:count] if name in KEPT]
        found = {name: self._since_of(name, wish, browser) for name in names}
        return {name: position for name, position in found.items() if position is not None}

    def _since_of(self, name: bytes, wish: Wish, browser: V1Browser | None) -> Position | None:
        old = [position for channel, position in self.server.messages if channel == name]
        if wish["since"] == "own" and browser is not None and name in browser.records:
            return browser.records[name].position
        if wish["since"] == "old" and old:
            return Position.parse(old[wish["index"] % len(old)])
        if wish["since"] == "wrong":
            top = self.server.data.channel(name)
            wrong = (NOWHERE, Position("feed", 1), Position(top.epoch or "e", top.top + 1))
            return wrong[wish["index"] % 3]
        return None

    def _place(self, browser: Browser) -> Place:
        return next(place for place in self.places if place.link is browser.link)

    def _check_all(self) -> None:
        """Find what nothing on the link tells of."""
        for place in self.places:
            self._check(place.runner)
        self._settle()
        self.has_hole = False

    def _check(self, runner: Runner) -> None:
        if runner.bus.is_connected:
            runner.recovery.check()

    def _cut(self, place: Place) -> None:
        place.link.cut()
        for browser in self.all:
            if browser.link is place.link:
                browser.note_cut()

    def _give_up(self, browser: Browser) -> None:
        """Let a browser go before it is open."""
        if browser.opening is None:
            return
        opening, browser.opening = browser.opening, None
        opening.kill()
        if isinstance(opening.value, Facility):
            opening.value.leave()

    def _settle(self) -> None:
        quiet = 0
        while quiet < QUIET:
            self._turn()
            links = [place.link for place in self.places]
            moved = [link.work() for link in links] + [link.deliver() for link in links]
            moved += [browser.read() for browser in self.all]
            quiet = 0 if any(moved) else quiet + 1

    def _run(self) -> None:
        """Let the loops notice what happened to their links."""
        wait_for(self._know_links)

    def _know_links(self) -> bool:
        self._turn()
        return all(place.knows_link for place in self.places)

    def _turn(self) -> None:
        """Let the hub handle all that is ready; what is always ready tells that it looked."""
        wait_read(self.ready.fileno())
        gevent.sleep(0)

    def _see_arrived(self, browser: Browser) -> None:
        if browser.connection is None or browser.has_ended:
            is_away = not browser.link.is_there.is_set()
            assert browser.opening is None or browser.opening.ready() or is_away, "It waits."
        elif browser.connection.phase is not Phase.OPEN:
            assert self.server.size > OUTBOX, "It was not that slow."
            browser.vanish()
        elif not browser.is_blocked and browser.link.is_linked:
            browser.see_all()
            self._see_published(browser)

    def _see_published(self, browser: Browser) -> None:
        """See that what it sent was published in order, and nothing of it lost."""
        known: Any = self.server.kept if browser.membership.name == "h" else self.server.plain
        published = [payload for payload in known if payload in browser.sent]
        assert published == [payload for payload in browser.sent if payload in known]
        missing = [payload for payload in browser.sent if payload not in known]
        assert all(browser.sent[payload] < browser.link.cuts for payload in missing), missing

    def _end(self) -> None:
        for browser in self.all:
            self._give_up(browser)
            if browser.connection is not None:
                browser.connection.abort()
            browser.vanish()
        for place in self.places:
            place.end()
        self.ready.close()
        self.other.close()
        self.stack.close()


TestRecovery = Recovery.TestCase
TestRecovery.settings = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
