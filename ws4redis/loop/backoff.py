"""How long to wait before the next attempt to connect."""

from __future__ import annotations

import random

MIN_DELAY, MAX_DELAY = 0.05, 2.0
"""Seconds: the bound of the delay doubles from one to the other."""
STEADY = 10.0
"""Seconds after which a link was a good one, so that the delays begin anew."""


class Backoff:
    """Delays that grow with each failure, and are drawn at random.

    Many processes lose their links together. The delay is anything from nothing to its bound ("full
    jitter"), so that they don't come back in step. A link that breaks soon is a failure, too: one
    that Redis closes again and again must not be opened at full speed.
    """

    def __init__(self) -> None:
        self._failures = 0

    def failed(self, held: float = 0.0) -> float:
        """Return the seconds to wait after a failure.

        Args:
            held: Seconds for which the link had been there before.
        """
        self._failures = 1 if held >= STEADY else self._failures + 1
        # An exponent without a bound would overflow in a long night.
        return random.uniform(0, min(MAX_DELAY, MIN_DELAY * 2 ** min(self._failures, 10)))
