"""What a delivery costs as the websockets of one channel grow in number."""

from __future__ import annotations

from measurement import arena
from scale import scaled
from scenario import Bar, Figures, Scenario

COUNTS = (100, 300, 1000, 3000, 8000, 18_000)
DELIVERIES, SECONDS = 40_000, 4.0
"""Deliveries a second, with however many websockets."""


def measure(contender: str) -> Figures:
    """Return microseconds of processor time for a delivery, by the number of websockets."""
    figures: Figures = {}
    with arena(contender) as field:
        held = 0
        for count in COUNTS:
            wanted = scaled(count)
            field.load.connect(wanted - held)
            held = wanted
            steady = field.steady(held, DELIVERIES / count, SECONDS)
            figures[f"cpu_us_{count}"] = steady["cpu_us"]
    return figures


SCENARIO = Scenario(
    name="growth",
    title="microseconds of a delivery with 100 to 18 000 websockets, 40 000 deliveries a second",
    contenders=("floor", "serve", "uwsgi", "nchan", "ws"),
    measure=measure,
    bars=tuple(
        Bar(
            what="CPU of a delivery, 18 000 clients",
            figure="cpu_us_18000",
            ours=ours,
            reference="floor",
            limit=1.5,
        )
        for ours in ("serve", "uwsgi")
    ),
)
