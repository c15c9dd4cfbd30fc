"""Remembers what a websocket published until it comes back, so that it need not get its own words.

Redis does not say who published a message, so payloads are compared: one equal message is swallowed
for each one sent. Which of two equal messages is swallowed makes no difference to the client.
"""

from __future__ import annotations

from collections import Counter, defaultdict

LIMIT = 1000
"""Messages of one websocket that may be on their way back on one channel. Those beyond it are not
remembered: the client then gets some of its own messages back, and loses none of another's."""


class Unreturned:
    """The messages of one websocket that Redis has not yet delivered back, by channel."""

    __slots__ = ("_awaited",)

    def __init__(self) -> None:
        self._awaited: defaultdict[bytes, Counter[bytes]] = defaultdict(Counter)

    def expect(self, channel: bytes, payload: bytes) -> None:
        """Note that a message was published on a channel which the websocket also follows."""
        counts = self._awaited[channel]
        if len(counts) < LIMIT:
            counts[payload] += 1

    def swallow(self, channel: bytes, payload: bytes) -> bool:
        """Return whether a delivered message is one of ours, and forget it."""
        counts = self._awaited.get(channel)
        if not counts or payload not in counts:
            return False
        counts[payload] -= 1
        if not counts[payload]:
            del counts[payload]
        if not counts:
            del self._awaited[channel]
        return True

    def awaits(self, channel: bytes) -> bool:
        """Return whether a message of this channel is still on its way back."""
        return channel in self._awaited

    def clear(self) -> tuple[bytes, ...]:
        """Forget everything, as after a loss of the link to Redis; return what was awaited."""
        channels = tuple(self._awaited)
        self._awaited.clear()
        return channels
