"""How much one client may send: two token buckets, one of messages and one of bytes."""

from __future__ import annotations

from collections.abc import Callable

REMEMBERED = 10_000
"""Clients of which it is known what they sent without a websocket."""
BURST = 10.0
"""Seconds whose worth a client may send at once, if it was silent before."""


class Rate:
    """What one client may still send.

    Args:
        messages: Messages in a second; None for any number.
        size: Bytes in a second; None for any number.
        now: Seconds of any clock.
    """

    __slots__ = ("_at", "_bytes", "_messages")

    def __init__(self, messages: float | None, size: float | None, now: float) -> None:
        self._messages = _Bucket(messages) if messages is not None else None
        self._bytes = _Bucket(size) if size is not None else None
        self._at = now

    def pardon(self, seconds: float, now: float) -> None:
        """Add what could have been sent while nothing was read, however long that was."""
        self._at = now
        for bucket in (self._messages, self._bytes):
            if bucket is not None:
                bucket.add(seconds)

    def take(self, size: int, now: float) -> bool:
        """Return whether one more message is within the rate.

        Args:
            size: Its bytes.
            now: Seconds of the same clock.
        """
        passed, self._at = now - self._at, now
        is_good = True
        for bucket, amount in ((self._messages, 1), (self._bytes, size)):
            if bucket is not None:
                is_good = bucket.take(amount, passed) and is_good
        return is_good


class Rates:
    """What each of many clients may still send; those who sent last are remembered.

    Args:
        messages: Messages in a second; None for any number.
        size: Bytes in a second; None for any number.
        clock: Returns seconds that only grow.
    """

    def __init__(
        self, messages: float | None, size: float | None, clock: Callable[[], float]
    ) -> None:
        self._limits = (messages, size)
        self._clock = clock
        self._rates: dict[str, Rate] = {}

    def take(self, who: str, size: int) -> bool:
        """Return whether one more message of a client is within its rate."""
        now = self._clock()
        rate = self._rates.pop(who, None) or Rate(*self._limits, now)
        self._rates[who] = rate
        if len(self._rates) > REMEMBERED:
            del self._rates[next(iter(self._rates))]
        return rate.take(size, now)


class _Bucket:
    """Fills with time; one that holds at least 1 lets any amount pass, and may be in debt then."""

    __slots__ = ("_level", "_rate")

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._level = max(1, rate * BURST)

    def add(self, seconds: float) -> None:
        self._level += seconds * self._rate

    def take(self, amount: float, passed: float) -> bool:
        # It may be fuller than that, by what was added.
        full = max(self._level, self._rate * BURST, 1)
        self._level = min(full, self._level + passed * self._rate)
        if self._level < 1:
            return False
        self._level -= amount
        return True
