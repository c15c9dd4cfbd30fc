"""A stream of events that follows channels, and tells its client where each of them is."""

from __future__ import annotations

import random
from typing import Any

from ws4redis.loop.connection import Connection
from ws4redis.loop.facility import Facility, Membership
from ws4redis.wire import sse, v1
from ws4redis.wire.outgoing import Encoding, Form, Outgoing, get_encoding

RETRY = range(1000, 3000)
"""Milliseconds after which a browser comes back that was told nothing else, as after a crash."""

_SEVERAL = get_encoding(form=Form.BARE_EVENT)


class Feed(Facility):
    """The handler of one stream of events on a facility.

    A browser that comes back names one id, that of the last event. So where several channels have
    positions, each event has to name all of them, and is made for this stream alone.
    """

    __slots__ = ("_places",)

    def __init__(self, membership: Membership, **surroundings: Any) -> None:
        super().__init__(membership, **surroundings)
        self._places: dict[str, str] = {}
        """Where each channel with a history is, by its name as clients see it."""

    @property
    def encoding(self) -> Encoding:
        """The form in which the stream gets messages."""
        return _SEVERAL if self._has_several else self.membership.encoding

    def farewell(self, code: int, reason: str) -> bytes:
        """Say whether to come back, and when."""
        return self._say("closing", **v1.closing(code, reason))

    @property
    def _has_several(self) -> bool:
        return len(self._places) > 1

    def _greeting(self) -> bytes:
        self._places = {
            self._dispatcher.shown(channel): str(start.position)
            for channel, start in self._starts.items()
            if start.position is not None
        }
        return super()._greeting()

    def _say(self, kind: str, **values: Any) -> bytes:
        return sse.event(
            v1.head(kind, **values),
            name=kind,
            place=sse.encode_places(self._places.items()) if kind == "welcome" else "",
            retry=values.get("delay", random.choice(RETRY)),
        )

    def _frame(self, message: Outgoing) -> bytes:
        frame = message.frame(self.encoding)
        if not (self._has_several and message.position):
            return frame
        self._places[message.channel] = message.position
        return sse.placed(frame, sse.encode_places(self._places.items()))

    def _settle(self, channel: bytes, connection: Connection) -> None:
        if not self._has_several:
            super()._settle(channel, connection)
