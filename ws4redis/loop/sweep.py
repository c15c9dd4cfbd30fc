"""Closes open websockets whose user, session or rights changed: at once when told, else in time.

Whoever changes something publishes an order on the control channel: what to do with whom, as JSON.
``check`` looks at them again, ``kick`` closes their websockets for good, ``renew`` closes them so
that they come back. Whom it concerns is told by ``users`` (primary keys), ``names``, ``sessions``,
``addresses`` or ``everybody``. What nobody tells is found by a look at all from time to time.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gevent
from gevent.event import Event

from ws4redis.loop.admission import ANONYMOUS, Identity, Place
from ws4redis.loop.connection import Connection, Phase
from ws4redis.loop.giveway import give_way
from ws4redis.loop.registry import Registry
from ws4redis.wire.close import CloseCode
from ws4redis.wire.outgoing import PLAIN, Encoding, Outgoing

logger = logging.getLogger(__name__)

GATHER = 0.05
"""Seconds to wait for further changes, so that many of them are one query."""
RETRY = 5.0
"""Seconds to wait when it can't be found out."""
SLICE = 500
"""Websockets closed before the hub may do something else."""

AGAIN = 1.0
"""Seconds after which those that an order closed are looked for once more."""

CODES = {"kick": CloseCode.EXPELLED, "renew": CloseCode.RIGHTS_CHANGED}
"""What an order closes with; ``check`` only asks the judge."""
REASONS: dict[int, str] = {
    CloseCode.EXPELLED: "You are not logged in any more.",
    CloseCode.RIGHTS_CHANGED: "Your rights have changed, please come back.",
}

Judge = Callable[[Collection[Identity]], Mapping[Identity, int]]
"""Returns those that may not stay, and the close code of each; may block."""


@dataclass(slots=True)
class Whom:
    """Whom an order concerns."""

    everybody: bool = False
    users: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)

    @classmethod
    def parse(cls, whom: Mapping[str, Any]) -> Whom:
        """Read what stands in an order.

        Raises:
            AttributeError: It is malformed.
            TypeError: It is malformed.
        """
        lists = (set(whom.get(key, ())) for key in ("users", "names", "sessions", "addresses"))
        return cls(bool(whom.get("everybody")), *lists)

    def add(self, other: Whom) -> None:
        """Concern those, too."""
        self.everybody |= other.everybody
        self.users |= other.users
        self.names |= other.names
        self.sessions |= other.sessions
        self.addresses |= other.addresses

    def concerns(self, place: Place) -> bool:
        """Return whether one of them has this place."""
        one = place.identity
        return (
            self.everybody
            or one.user_id in self.users
            or one.user in self.names
            or one.session in self.sessions
            or place.address in self.addresses
        )


class Sweep:
    """Watches over the websockets of a process; it is the receiver of the control channel.

    Args:
        registry: The websockets.
        judge: Decides who may stay.
        interval: Seconds between two looks at everybody; None to look only when told.
        flush: Writes what is still due to a websocket that is about to be closed.
    """

    connection: Connection | None = None
    encoding: Encoding = PLAIN

    def __init__(
        self,
        registry: Registry,
        judge: Judge,
        interval: float | None,
        flush: Callable[[Connection], None],
    ) -> None:
        self._registry = registry
        self._flush = flush
        self._judge = judge
        self._interval = interval
        self._suspects: set[Identity] = set()
        self._has_suspects = Event()
        self._greenlets: list[gevent.Greenlet] = []
        self._is_stopped = False
        self._has_failed = False
        self._whom = Whom()

    def start(self) -> None:
        """Begin."""
        self._greenlets.append(gevent.spawn(self._judge_suspects))
        if self._interval is not None:
            self._greenlets.append(gevent.spawn(self._look_around, self._interval))

    def stop(self) -> None:
        """End."""
        # Not waited for: in a patched process one may be at work in the database.
        self._is_stopped = True
        gevent.killall(self._greenlets, block=False)

    def accept(self, channel: bytes, message: Outgoing) -> bytes:
        """Take an order from the control channel; see ``Receiver``."""
        if message.is_notice:
            return b""
        try:
            orders = {verb: Whom.parse(whom) for verb, whom in json.loads(message.payload).items()}
        except (ValueError, AttributeError, TypeError, RecursionError):
            logger.warning("Something on the channel %r is no order of ours", channel)
            return b""
        for verb, whom in orders.items():
            if verb in CODES:
                gevent.spawn(self._expel, partial(_code_if, whom, CODES[verb]))
                # Django tells a logout before it ends the session: a handshake may slip through.
                gevent.spawn_later(AGAIN, self._suspect, whom)
            self._suspect(whom)
        return b""

    def forget_returns(self) -> None:
        """Do nothing; see ``Receiver``."""

    def suspect_everybody(self) -> None:
        """Look at everybody soon, as messages may have been missed."""
        self._suspect(Whom(everybody=True))

    def greet(self, connection: Connection) -> None:
        """Look at a websocket that opened while somebody's rights changed."""
        if connection.place is not None and connection.place.is_suspect:
            self._suspects.add(connection.place.identity)
            self._has_suspects.set()

    def _suspect(self, whom: Whom) -> None:
        # Who they are may not be known yet.
        for place in self._registry.admission.entering:
            place.is_suspect = True
        # Many orders are one walk over the websockets.
        self._whom.add(whom)
        self._has_suspects.set()

    def _take_suspects(self) -> set[Identity]:
        whom, self._whom = self._whom, Whom()
        suspects, self._suspects = self._suspects, set()
        places = [one.place for one in self._registry if one.place is not None]
        suspects.update(place.identity for place in places if whom.concerns(place))
        return suspects - {ANONYMOUS}

    def _look_around(self, interval: float) -> None:
        while True:
            # At random, so that many processes do not ask the database in step.
            gevent.sleep(random.uniform(0.5, 1) * interval)
            self.suspect_everybody()

    def _judge_suspects(self) -> None:
        while True:
            self._has_suspects.wait()
            gevent.sleep(GATHER)
            self._has_suspects.clear()
            suspects = self._take_suspects()
            try:
                verdicts = self._judge(suspects) if suspects else {}
            except Exception:
                if self._is_stopped:
                    return
                # They stay: a database that is away must not close every websocket.
                self._complain()
                self._suspects |= suspects
                self._has_suspects.set()
                gevent.sleep(RETRY)
            else:
                self._has_failed = False
                self._expel(partial(_verdict_of, verdicts))

    def _complain(self) -> None:
        """Tell of a failure, once for all that follow it."""
        level = logging.DEBUG if self._has_failed else logging.ERROR
        self._has_failed = True
        logger.log(
            level, "It can't be found out who may keep a websocket; trying again", exc_info=True
        )

    def _expel(self, code_of: Callable[[Place], int | None]) -> None:
        closed = 0
        for connection in self._registry:
            code = code_of(connection.place) if connection.place is not None else None
            if code is not None and connection.phase is Phase.OPEN:
                self._registry.metrics.event("connections.expelled")
                # An order overtakes the messages of a large fan-out that were published before it.
                self._flush(connection)
                connection.close(code, REASONS.get(code, ""))
                closed += 1
                if closed % SLICE == 0:
                    give_way()


def _code_if(whom: Whom, code: int, place: Place) -> int | None:
    return code if whom.concerns(place) else None


def _verdict_of(verdicts: Mapping[Identity, int], place: Place) -> int | None:
    return verdicts.get(place.identity)
