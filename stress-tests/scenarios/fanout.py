"""One broadcast channel with a thousand websockets: what a delivery costs, how late it is."""

from __future__ import annotations

from measurement import arena
from scale import scaled
from scenario import Bar, Figures, Scenario
from servers import rate_of

CLIENTS, RATE, SECONDS = 1000, 50.0, 3.0
CPU = "CPU of a delivery, 1000 clients, 50 msg/s, 100 B"
P99 = "p99 latency, 1000 clients, 50 msg/s, 100 B"


def measure(contender: str) -> Figures:
    """Publish fifty messages a second, or as many as the contender can stand."""
    clients, rate = scaled(CLIENTS), rate_of(contender, RATE)
    with arena(contender) as field:
        field.load.connect(clients)
        return field.steady(clients, rate, SECONDS) | {"rate": rate}


def _bars(ours: str) -> list[Bar]:
    channels = ("channels-daphne", "channels-uvicorn")
    return [
        Bar(what=CPU, figure="cpu_us", ours=ours, reference="floor", limit=1.4),
        Bar(what=CPU, figure="cpu_us", ours=ours, reference="nchan", limit=0.7),
        *(
            Bar(what=CPU, figure="cpu_us", ours=ours, reference=name, limit=1 / 30)
            for name in channels
        ),
        Bar(what=P99, figure="p99_us", ours=ours, reference="floor", limit=1.3),
    ]


SCENARIO = Scenario(
    name="fanout",
    title="a delivery of 100 bytes to one of 1000 websockets, at 50 messages a second",
    contenders=(
        "floor",
        "serve",
        "uwsgi",
        "nchan",
        "ws",
        "uwsgi-api",
        "socketio",
        "channels-uvicorn",
        "channels-pubsub",
        "channels-daphne",
        "floor again",
    ),
    measure=measure,
    bars=(*_bars("serve"), *_bars("uwsgi")),
)
