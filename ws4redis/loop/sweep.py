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
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

import gevent
from gevent.event import Event

from ws4redis.loop.admission import ANONYMOUS, Identity, Place
from ws4redis.loop.connection import Connection, Phase
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


class Sweep:
    """Watches over the websockets of a process; it is the receiver of the control channel.

    Args:
        registry: The websockets.
        judge: Decides who may stay.
        interval: Seconds between two looks at everybody; None to look only when told.
    """

    connection: Connection | None = None
    encoding: Encoding = PLAIN

    def __init__(self, registry: Registry, judge: Judge, interval: float | None) -> None:
        self._registry = registry
        self._judge = judge
        self._interval = interval
        self._suspects: set[Identity] = set()
        self._has_suspects = Event()
        self._greenlets: list[gevent.Greenlet] = []

    def start(self) -> None:
        """Begin."""
        self._greenlets.append(gevent.spawn(self._judge_suspects))
        if self._interval is not None:
            self._greenlets.append(gevent.spawn(self._look_around, self._interval))

    def stop(self) -> None:
        """End."""
        gevent.killall(self._greenlets)

    def accept(self, channel: bytes, message: Outgoing) -> bytes:
        """Take an order from the control channel; see ``Receiver``."""
        try:
            orders = {verb: _concerns(whom) for verb, whom in json.loads(message.payload).items()}
        except (ValueError, AttributeError, TypeError):
            logger.warning("Something on the channel %r is no order of ours", channel)
            return b""
        for verb, is_concerned in orders.items():
            if verb in CODES:
                gevent.spawn(self._expel, partial(_code_if, is_concerned, CODES[verb]))
                # Django tells a logout before it ends the session: a handshake may slip through.
                gevent.spawn_later(AGAIN, self._suspect, is_concerned)
            self._suspect(is_concerned)
        return b""

    def forget_returns(self) -> None:
        """Do nothing; see ``Receiver``."""

    def suspect_everybody(self) -> None:
        """Look at everybody soon, as messages may have been missed."""
        self._suspect(lambda place: True)

    def greet(self, connection: Connection) -> None:
        """Look at a websocket that opened while somebody's rights changed."""
        if connection.place is not None and connection.place.is_suspect:
            self._add([connection.place])

    def _suspect(self, concerned: Callable[[Place], bool]) -> None:
        # Who they are may not be known yet.
        for place in self._registry.admission.entering:
            place.is_suspect = True
        places = [one.place for one in self._registry if one.place is not None]
        self._add(place for place in places if concerned(place))

    def _add(self, places: Iterable[Place]) -> None:
        self._suspects.update(place.identity for place in places)
        self._suspects.discard(ANONYMOUS)
        if self._suspects:
            self._has_suspects.set()

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
            suspects, self._suspects = self._suspects, set()
            try:
                verdicts = self._judge(suspects) if suspects else {}
            except Exception:
                # They stay: a database that is away must not close every websocket.
                logger.exception("It can't be found out who may keep a websocket; trying again")
                self._suspects |= suspects
                self._has_suspects.set()
                gevent.sleep(RETRY)
            else:
                self._expel(partial(_verdict_of, verdicts))

    def _expel(self, code_of: Callable[[Place], int | None]) -> None:
        closed = 0
        for connection in self._registry:
            code = code_of(connection.place) if connection.place is not None else None
            if code is not None and connection.phase is Phase.OPEN:
                self._registry.metrics.event("connections.expelled")
                connection.close(code, REASONS.get(code, ""))
                closed += 1
                if closed % SLICE == 0:
                    gevent.sleep(0)


def _code_if(is_concerned: Callable[[Place], bool], code: int, place: Place) -> int | None:
    return code if is_concerned(place) else None


def _verdict_of(verdicts: Mapping[Identity, int], place: Place) -> int | None:
    return verdicts.get(place.identity)


def _concerns(whom: Mapping[str, Any]) -> Callable[[Place], bool]:
    """Return what tells whether an order concerns a place.

    Raises:
        AttributeError: It is malformed.
        TypeError: It is malformed.
    """
    users, names = frozenset(whom.get("users", ())), frozenset(whom.get("names", ()))
    sessions, addresses = frozenset(whom.get("sessions", ())), frozenset(whom.get("addresses", ()))
    everybody = bool(whom.get("everybody"))

    def concerns(place: Place) -> bool:
        one = place.identity
        return (
            everybody
            or one.user_id in users
            or one.user in names
            or one.session in sessions
            or place.address in addresses
        )

    return concerns
