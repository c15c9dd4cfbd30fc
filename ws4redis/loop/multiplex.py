"""A websocket that speaks ``ws4redis.v1``: many facilities, and words about each of them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

import gevent

from ws4redis import flood
from ws4redis.exceptions import HandshakeError, ProtocolError
from ws4redis.loop.connection import Connection, Phase
from ws4redis.loop.facility import Facility
from ws4redis.wire import v1
from ws4redis.wire.close import CloseCode

logger = flood.clients.guard(logging.getLogger(__name__))

QUEUE_LIMIT = 32
"""Commands of one client that may wait before nothing more is read from it."""

UNPUBLISHED = (
    "Nothing may be published on this facility: its address needs a flag such as "
    "publish-broadcast, and the right to use it."
)
Subscriber = Callable[[v1.Subscribe, int], Facility]
"""Joins a facility, or raises ``HandshakeError``; may block. Gets the command, and the number of
channels held already."""


class Multiplex:
    """The handler of such a websocket.

    Args:
        first: The facility of its address.
        subscribe: Joins others.
        heartbeat: Text which, when a client sends it, is no command.
    """

    __slots__ = (
        "_commands",
        "_facilities",
        "_first",
        "_heartbeat",
        "_held",
        "_is_busy",
        "_subscribe",
    )

    def __init__(
        self,
        first: Facility,
        subscribe: Subscriber,
        heartbeat: bytes | None,
    ) -> None:
        self._first = first
        self._held = first.membership.size
        self._facilities = {first.membership.name: first}
        self._subscribe = subscribe
        self._heartbeat = heartbeat
        self._commands: deque[v1.Command] = deque()
        self._is_busy = False

    def on_open(self, connection: Connection) -> None:
        """Begin with the facility of the address."""
        self._first.on_open(connection)

    def on_message(self, payload: bytes, binary: bool) -> None:
        """Carry out what the client asks for, in order."""
        if payload == self._heartbeat:
            return
        connection = self._connection
        try:
            command = v1.parse(payload)
        except ProtocolError as error:
            connection.close(error.close_code, error.reason)
            return
        if isinstance(command, v1.Publish) and not self._is_busy:
            self._publish(command)
            return
        self._commands.append(command)
        if len(self._commands) > QUEUE_LIMIT:
            connection.pause(self)
        if not self._is_busy:
            self._is_busy = True
            gevent.spawn(self._work)

    def on_close(self, code: int, reason: str) -> None:
        """Leave all channels."""
        self._commands.clear()
        facilities, self._facilities = self._facilities, {}
        for facility in facilities.values():
            facility.on_close(code, reason)

    def farewell(self, code: int, reason: str) -> bytes:
        """Say whether to come back, and when."""
        return v1.control("closing", **v1.closing(code, reason))

    @property
    def _connection(self) -> Connection:
        connection = self._first.connection
        assert connection is not None, "messages come on open websockets only"
        return connection

    def _work(self) -> None:
        try:
            while self._commands:
                self._carry_out(self._commands.popleft())
        except Exception:
            logger.exception("A command of a websocket failed; it is closed with 1011")
            self._connection.close(CloseCode.INTERNAL_ERROR)
        self._is_busy = False
        self._connection.resume(self)

    def _carry_out(self, command: v1.Command) -> None:
        if isinstance(command, v1.Publish):
            self._publish(command)
        elif isinstance(command, v1.Unsubscribe):
            self._leave(command.facility)
            self._say("unsubscribed", id=command.id, facility=command.facility)
        else:
            self._join(command)

    def _publish(self, command: v1.Publish) -> None:
        facility = self._facilities.get(command.facility)
        if facility is None:
            self._refuse(command.id, 404, "This facility is not subscribed.")
        elif not facility.membership.publications:
            self._refuse(command.id, 403, UNPUBLISHED)
        else:
            facility.publish(command.payload)

    def _join(self, command: v1.Subscribe) -> None:
        self._leave(command.facility)
        try:
            facility = self._subscribe(command, self._held)
        except HandshakeError as error:
            self._refuse(command.id, error.status, error.message)
        else:
            self._open(facility)

    def _open(self, facility: Facility) -> None:
        if self._connection.phase is not Phase.OPEN:
            # It ended while the facility was joined.
            facility.leave()
            return
        self._facilities[facility.membership.name] = facility
        self._held += facility.membership.size
        facility.on_open(self._connection)

    def _leave(self, name: str) -> None:
        if (facility := self._facilities.pop(name, None)) is not None:
            self._held -= facility.membership.size
            facility.leave()

    def _refuse(self, identifier: int | None, status: int, reason: str) -> None:
        self._say("refused", id=identifier, status=status, reason=reason)

    def _say(self, kind: str, **values: object) -> None:
        self._connection.send(v1.control(kind, **values))
