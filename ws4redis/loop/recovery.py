"""Where each local channel with a history is: finds holes, reads what was missed, tells gaps.

The link to Redis is totally ordered. So the answer to a read holds all that was published before
it, and what comes after it is newer. While a channel is behind, live messages are ignored, as the
answer will hold them. Each stream is read once for all local websockets, except for what a single
one missed while it was away.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from ws4redis import flood
from ws4redis.channels import without_secrets
from ws4redis.exceptions import BusError
from ws4redis.history import NOWHERE, Call, Histories, Position
from ws4redis.loop.bus import Delivery
from ws4redis.loop.dispatcher import Dispatcher
from ws4redis.loop.joining import Joining, Reading, Start, persisted
from ws4redis.loop.reads import Reads
from ws4redis.loop.wheel import Wheel
from ws4redis.metrics import Metrics
from ws4redis.wire.outgoing import Gap

logger = flood.clients.guard(logging.getLogger(__name__))

GAP = "What was missed on %s is gone from its history; those who follow it are told"
LEFT = "Nobody follows the channel any more."
CHECKS = 300
"""Turns of the wheel in which each channel is compared once with what Redis says of it."""


Started = Callable[[Start | Exception], None]


class Way(Protocol):
    """The part of the bus that is needed here."""

    def subscribe(self, channel: bytes) -> None: ...
    def unsubscribe(self, channel: bytes) -> None: ...
    def get(self, key: bytes, reply: Callable[[Any], None]) -> None: ...
    def ping(self, reply: Callable[[Any], None]) -> None: ...
    def run(self, call: Call, reply: Callable[[Any], None]) -> None: ...


class _Course:
    """One channel with a history that is followed here."""

    __slots__ = ("channel", "is_behind", "live", "name", "position", "turn", "waiting")

    def __init__(self, channel: bytes, name: str, live: bytes) -> None:
        self.channel = channel
        self.name = name
        self.live = live
        self.position: Position | None = None
        """Up to where its messages were handed on; None until Redis has said where it is."""
        self.is_behind = False
        """Whether missed messages are on their way, and live ones are ignored."""
        self.waiting: list[tuple[Joining, Started]] = []
        """Websockets that join when it is not behind any more."""
        self.turn = 0


class Recovery:
    """Follows channels on the bus, so that those with a history lose nothing.

    Args:
        bus: The link to Redis.
        histories: The channels that have one.
        dispatcher: Returns where messages are handed on.
        metrics: Where events are counted.
    """

    def __init__(
        self,
        bus: Way,
        histories: Histories,
        dispatcher: Callable[[], Dispatcher],
        metrics: Metrics,
    ) -> None:
        self._bus = bus
        self._reads = Reads(bus)
        self._histories = histories
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._courses: dict[bytes, _Course] = {}
        self._live: dict[bytes, bytes] = {}
        """The channel behind each name on which messages with positions are published."""
        self._checks: Wheel[bytes] = Wheel(CHECKS)

    def follow(self, channel: bytes) -> None:
        """Receive the messages of a channel."""
        self._bus.subscribe(channel)
        name = channel.decode()
        if self._histories.retention(name) is None:
            return
        live = self._histories.live(name).encode()
        course = self._courses[channel] = _Course(channel, name, live)
        course.turn = self._checks.add(channel)
        self._live[course.live] = channel
        self._bus.subscribe(course.live)

    def forget(self, channel: bytes) -> None:
        """Receive the messages of a channel no more."""
        self._bus.unsubscribe(channel)
        if (course := self._courses.pop(channel, None)) is not None:
            self._checks.discard(channel, course.turn)
            self._release(course, BusError(LEFT))
            del self._live[course.live]
            self._bus.unsubscribe(course.live)

    def names(self, channels: Iterable[bytes]) -> Iterator[bytes]:
        """Yield all that is to be subscribed for some channels."""
        for channel in channels:
            yield channel
            if (course := self._courses.get(channel)) is not None:
                yield course.live

    def placed(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Return those of arrived messages that can be handed on, each with its channel."""
        if not self._courses:
            return deliveries
        placed = map(self._place, deliveries)
        return [delivery for delivery in placed if delivery is not None]

    def start(self, channel: bytes, since: Position | None, started: Started) -> None:
        """Begin a channel for a websocket that has joined it.

        Args:
            channel: The channel.
            since: Where the websocket was; None if it is new.
            started: Gets the start, in order with all that is published, or an exception.
        """
        course = self._courses.get(channel)
        if course is None:
            self._bus.get(channel, partial(self._start_plain, channel, started))
        else:
            self._start(course, Joining(since, self._shown(channel)), started)

    def on_connected(self) -> None:
        """Read what was missed while there was no link, before anything new is handed on."""
        for course in tuple(self._courses.values()):
            if course.position is not None:
                self._catch_up(course)

    def on_lost(self) -> None:
        """Hand nothing on until it is known what was missed."""
        self._reads.give_up()
        for course in self._courses.values():
            course.is_behind = course.position is not None
            self._release(course, BusError("The link to Redis broke."))

    def tell_gaps(self) -> None:
        """Say that messages may be missing on all channels without a history.

        Not before all are subscribed: who reads elsewhere what is missing relies on what follows.
        """
        self._bus.ping(self._tell_gaps)

    def _tell_gaps(self, answer: Any) -> None:
        if isinstance(answer, BusError):
            return
        for channel in tuple(self._dispatcher().channels):
            if channel not in self._courses:
                self._dispatcher().notify(channel, Gap)

    def check(self) -> None:
        """Compare some channels with what Redis says of them; all after ``CHECKS`` calls."""
        for channel in self._checks.turn():
            course = self._courses[channel]
            if course.position is not None:
                call = self._histories.read(course.name, course.position)
                self._reads.run(call, partial(self._checked, course))

    def _follows(self, course: _Course) -> bool:
        """Return whether anybody is left for whom an answer of Redis is."""
        return self._courses.get(course.channel) is course

    def _shown(self, channel: bytes) -> str:
        return self._dispatcher().shown(channel)

    def _place(self, delivery: Delivery) -> Delivery | None:
        channel = self._live.get(delivery[0])
        if channel is None:
            return delivery
        text, _, payload = delivery[1].partition(b" ")
        position = Position.parse(text.decode(errors="replace"))
        if position is None:
            name = without_secrets(delivery[0].decode(errors="replace"))
            logger.warning("Something on %r has no position; it is dropped", name)
            return None
        course = self._courses[channel]
        return (channel, payload, str(position)) if self._advance(course, position) else None

    def _advance(self, course: _Course, position: Position) -> bool:
        """Return whether a live message is the next one; if it is a later one, catch up."""
        known = course.position
        if course.is_behind:
            return False
        if known is None or known.is_just_before(position):
            course.position = position
            return True
        if known.epoch != position.epoch or known.offset < position.offset:
            self._metrics.event("history.holes")
            self._catch_up(course)
        return False

    def _catch_up(self, course: _Course) -> None:
        course.is_behind = True
        since = course.position or NOWHERE
        call = self._histories.read(course.name, since)
        self._reads.run(call, partial(self._caught_up, course, since))

    def _start(self, course: _Course, joining: Joining, started: Started) -> None:
        if course.is_behind:
            course.waiting.append((joining, started))
            return
        call = self._histories.read(course.name, joining.since)
        self._reads.run(call, partial(self._started, course, joining, started))

    def _started(self, course: _Course, joining: Joining, started: Started, answer: Any) -> None:
        if isinstance(answer, Exception):
            started(answer)
            return
        if not self._follows(course):
            started(BusError(LEFT))
            return
        reading = Reading.parse(answer)
        if course.position is None or course.position.is_at(reading.position):
            course.position = reading.position
        elif not course.is_behind:
            self._catch_up(course)
        # What it would get now, it would get once more from the catch-up.
        start = None if course.is_behind else joining.take(reading)
        if start is None:
            self._start(course, joining, started)
        else:
            started(start)

    def _start_plain(self, channel: bytes, started: Started, answer: Any) -> None:
        if isinstance(answer, Exception):
            started(answer)
            return
        started(Start(messages=persisted(answer, self._shown(channel))))

    def _release(self, course: _Course, error: BusError | None = None) -> None:
        """Let websockets that wait for a channel begin it, or fail."""
        waiting, course.waiting = course.waiting, []
        for joining, started in waiting:
            if error is None:
                self._start(course, joining, started)
            else:
                started(error)

    def _checked(self, course: _Course, answer: Any) -> None:
        if not self._follows(course) or isinstance(answer, Exception):
            return
        position, known = Reading.parse(answer).position, course.position
        if known is None or course.is_behind or not known.is_at(position):
            self._catch_up(course)
        else:
            course.position = position

    def _caught_up(self, course: _Course, since: Position, answer: Any) -> None:
        """Hand on what was missed, then go on; or say that it can't be had."""
        if not self._follows(course) or isinstance(answer, BusError):
            return
        if course.position is None or not since.is_at(course.position):
            # A check found it behind while it was read already, and that reading was the first.
            return
        if isinstance(answer, Exception):
            # The next check tries again.
            logger.error("What was missed on a channel can't be read: %s", answer)
            self._release(course, BusError("Redis does not give what was missed."))
            return
        self._take(course, Reading.parse(answer))

    def _take(self, course: _Course, reading: Reading) -> None:
        course.position = reading.reached
        if not reading.is_whole:
            self._metrics.event("history.gaps")
            logger.warning(GAP, without_secrets(course.name))
            self._dispatcher().notify(course.channel, partial(Gap, position=str(reading.position)))
        elif reading.messages:
            self._metrics.event("history.recovered", len(reading.messages))
            self._dispatcher().dispatch(
                [
                    (course.channel, payload, str(reading.position._replace(offset=offset)))
                    for offset, payload in reading.messages
                ]
            )
        if not self._follows(course):
            return
        if course.position != reading.position:
            self._catch_up(course)
        else:
            course.is_behind = False
            self._release(course)
