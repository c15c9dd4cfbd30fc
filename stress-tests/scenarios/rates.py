"""How late messages are as there are more of them in a second."""

from __future__ import annotations

from measurement import arena
from scale import scaled
from scenario import Figures, Scenario

RATES = (10, 30, 100, 200)
CLIENTS, SECONDS = 500, 4.0


def measure(contender: str) -> Figures:
    """Return the median latency and that of the slowest of a hundred, by messages a second."""
    clients = scaled(CLIENTS)
    figures: Figures = {}
    with arena(contender) as field:
        field.load.connect(clients)
        for rate in RATES:
            steady = field.steady(clients, rate, SECONDS)
            figures |= {f"p50_us_{rate}": steady["p50_us"], f"p99_us_{rate}": steady["p99_us"]}
    return figures


SCENARIO = Scenario(
    name="rates",
    title="latency of 10 to 200 messages a second to 500 websockets",
    contenders=("floor", "serve", "uwsgi", "nchan", "ws"),
    measure=measure,
)
