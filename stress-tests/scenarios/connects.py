"""Handshakes of visitors who are logged in, each with a session and a user of its own.

Sessions are in Django's cache, a Redis, and users in a file of SQLite to which the connection stays
open, as what is no part of a handshake would make our share of it look smaller.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from measurement import Arena, arena
from scale import scaled
from scenario import Bar, Figures, Scenario
from servers import run_in_site

CLIENTS = 1000
"""Of whom only some wait for the server at a time."""
WARM_UP = 100
STORMS = {"serve": 10_000, "channels-uvicorn": 1500}
"""Clients that come back at once. Daphne takes part in none: of 1500, many had not got in after a
minute, as its listener holds but fifty that wait."""
ADDRESS = "/ws/bench?subscribe-user&subscribe-broadcast"
DJANGO_SHARE, OWN_US = 1.2, 150
"""What a handshake may take: a multiple of what Django alone takes to know the visitor, and so many
microseconds."""
PEERS = ("channels-uvicorn", "channels-pubsub", "channels-daphne")


def measure(contender: str) -> Figures:
    """Connect some clients, then those that all come back to a new process."""
    clients = scaled(CLIENTS)
    with _warm(contender, clients) as field:
        figures = _one_by_one(field, clients) | _django(field, clients)
    if contender not in STORMS:
        return figures
    storm = scaled(STORMS[contender])
    with _warm(contender, storm) as field:
        started = time.monotonic()
        field.load.storm(storm)
        return figures | {"storm_s": time.monotonic() - started}


@contextmanager
def _warm(contender: str, visitors: int) -> Iterator[Arena]:
    """Start a contender whose site has visitors, and let it load what it needs."""
    with arena(contender, visitors=max(visitors, WARM_UP), address=ADDRESS) as field:
        field.load.connect(WARM_UP)
        field.load.close(WARM_UP)
        yield field


def _one_by_one(field: Arena, clients: int) -> Figures:
    cpu, wall = field.server.cpu(), time.monotonic()
    field.load.connect(clients)
    cpu, wall = field.server.cpu() - cpu, time.monotonic() - wall
    return {"cpu_us": cpu * 1e6 / clients, "wall_us": wall * 1e6 / clients}


def _django(field: Arena, visitors: int) -> Figures:
    """Return what Django alone takes to know a visitor, and what a handshake may take by that."""
    alone = json.loads(run_in_site(["know.py", str(visitors)], field.environment))
    allowed = {f"allowed_{name}": DJANGO_SHARE * value + OWN_US for name, value in alone.items()}
    return {f"django_{name}": value for name, value in alone.items()} | allowed


def _bars(ours: str) -> list[Bar]:
    return [
        Bar(
            what=f"{what} of a handshake with session and user, by 1.2 x Django's part + 150 us",
            figure=f"{clock}_us",
            ours=ours,
            reference=ours,
            reference_figure=f"allowed_{clock}_us",
            limit=1.0,
        )
        for what, clock in (("CPU", "cpu"), ("wall time", "wall"))
    ] + [
        Bar(
            what="CPU of a handshake with session and user",
            figure="cpu_us",
            ours=ours,
            reference=name,
            limit=1.0,
        )
        for name in PEERS
    ]


STORM_BAR = Bar(
    what="10 000 clients back at once, by 1500 of the other",
    figure="storm_s",
    ours="serve",
    reference="channels-uvicorn",
    limit=1.0,
)
SCENARIO = Scenario(
    name="connects",
    title="handshakes with session and user, one after the other and all at once",
    contenders=("serve", *PEERS),
    measure=measure,
    bars=(*_bars("serve"), STORM_BAR),
)
