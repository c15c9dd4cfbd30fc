"""What a delivery costs as messages get larger."""

from __future__ import annotations

from measurement import arena
from scale import scaled
from scenario import Figures, Scenario

SIZES = (16, 100, 500, 2000, 8000, 16_000)
CLIENTS, RATE, SECONDS = 1000, 20.0, 3.0


def measure(contender: str) -> Figures:
    """Return microseconds of processor time for a delivery, by the bytes of the message."""
    clients = scaled(CLIENTS)
    with arena(contender) as field:
        field.load.connect(clients)
        return {
            f"cpu_us_{size}": field.steady(clients, RATE, SECONDS, size)["cpu_us"] for size in SIZES
        }


SCENARIO = Scenario(
    name="sizes",
    title="microseconds of a delivery of 16 to 16 000 bytes to one of 1000 websockets",
    contenders=("floor", "serve", "uwsgi", "nchan", "ws"),
    measure=measure,
)
