"""Eight thousand websockets on one channel: a delivery must not cost more for there being many."""

from __future__ import annotations

from measurement import arena
from scale import scaled
from scenario import Bar, Figures, Scenario

CLIENTS, RATE, SECONDS = 8000, 6.0, 4.0


def measure(contender: str) -> Figures:
    """Publish as many messages as make the deliveries of the smaller scenario."""
    clients = scaled(CLIENTS)
    with arena(contender) as field:
        field.load.connect(clients)
        return field.steady(clients, RATE, SECONDS)


SCENARIO = Scenario(
    name="crowd",
    title="a delivery of 100 bytes to one of 8000 websockets, at 6 messages a second",
    contenders=("floor", "serve", "uwsgi"),
    measure=measure,
    bars=tuple(
        Bar(
            what="CPU of a delivery, 8000 clients, 6 msg/s, 100 B",
            figure="cpu_us",
            ours=ours,
            reference="floor",
            limit=1.5,
        )
        for ours in ("serve", "uwsgi")
    ),
)
