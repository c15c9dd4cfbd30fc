"""A thousand messages published at once to a thousand websockets."""

from __future__ import annotations

from measurement import arena
from scale import scaled
from scenario import Bar, Figures, Scenario

CLIENTS, MESSAGES = 1000, 1000


def measure(contender: str) -> Figures:
    """Return the seconds until the last websocket has the last message."""
    clients = scaled(CLIENTS)
    with arena(contender) as field:
        field.load.connect(clients)
        # Nobody's first message is the one that is timed.
        field.burst(clients, 1)
        return field.burst(clients, scaled(MESSAGES))


SCENARIO = Scenario(
    name="burst",
    title="1000 messages of 100 bytes at once to 1000 websockets",
    contenders=("floor", "serve", "uwsgi", "nchan", "ws", "uwsgi-api", "socketio"),
    measure=measure,
    bars=tuple(
        Bar(
            what="wall time of 1000 messages at once to 1000 clients",
            figure="burst_s",
            ours=ours,
            reference=reference,
            limit=limit,
        )
        for ours in ("serve", "uwsgi")
        for reference, limit in (("nchan", 1 / 8), ("floor", 1 / 20))
    ),
)
