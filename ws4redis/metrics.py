"""Named counters of one process; whatever shows them to people reads ``Metrics.values``."""

from __future__ import annotations

from collections import Counter

NAMES = {
    "connections.opened": "websockets that were opened",
    "connections.closed": "websockets that ended, for whatever reason",
    "connections.refused": "handshakes that were answered with an HTTP error",
    "connections.slow": "clients disconnected because their outbox was full",
    "connections.silent": "clients disconnected because they left a ping unanswered",
    "messages.received": "messages that clients sent",
    "messages.delivered": "messages handed to a websocket, one for each",
    "bus.messages": "messages that Redis delivered to this process",
    "bus.lost": "times that the link to Redis broke",
    "bus.restored": "times that the link to Redis came back",
    "hooks.failed": "calls of the site's own code that raised",
}
"""Every name, and what it counts."""


class Metrics:
    """Counts events of the websocket loop."""

    def __init__(self) -> None:
        self.values: Counter[str] = Counter(dict.fromkeys(NAMES, 0))

    def event(self, name: str, amount: int = 1) -> None:
        """Count an event.

        Args:
            name: One of ``NAMES``.
            amount: How often it happened.

        Raises:
            KeyError: There is no such name.
        """
        if name not in NAMES:
            raise KeyError(f"{name!r} is no metric of ws4redis.")
        self.values[name] += amount
