"""Named counters of one process; whatever shows them to people reads ``Metrics.values``."""

from __future__ import annotations

from collections import Counter

NAMES = {
    "connections.opened": "websockets that were opened",
    "connections.closed": "websockets that ended, for whatever reason",
    "connections.refused": "handshakes that were answered with an HTTP error",
    "connections.slow": "clients disconnected because their outbox was full",
    "connections.silent": "clients disconnected because they left a ping unanswered",
    "connections.malformed": "clients disconnected because they broke the protocol",
    "connections.expelled": "websockets closed because their user, session or rights changed",
    "limits.connections": "handshakes refused as the process held too many websockets",
    "limits.address": "handshakes refused as there were too many of one address",
    "limits.user": "handshakes refused as there were too many of one user",
    "limits.session": "handshakes refused as there were too many of one session",
    "limits.facility": "handshakes refused for the name of their facility",
    "limits.channels": "handshakes refused as they asked for too many channels",
    "limits.message": "clients disconnected as their message was too big or had too many parts",
    "limits.rate": "messages and pings beyond what a client may send in a second",
    "limits.backlog": "clients disconnected as too much waited in all outboxes together",
    "messages.received": "messages that clients sent",
    "messages.delivered": "messages handed to a websocket, one for each",
    "bus.messages": "messages that Redis delivered to this process",
    "bus.lost": "times that the link to Redis broke",
    "bus.restored": "times that the link to Redis came back",
    "history.holes": "times that messages of a channel with a history were found missing",
    "history.recovered": "missed messages that were read from a history",
    "history.gaps": "times that what was missed on a channel could not be had",
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
