"""Handshakes of visitors who are logged in, each with a session and a user of its own.

Sessions are in Django's cache, a Redis, and users in a file of SQLite to which the connection stays
open, as what is no part of a handshake would make our share of it look smaller.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from load import NUMBER
from measurement import Arena, arena
from scale import scaled
from scenario import Bar, Figures, Scenario
from servers import is_peer, run_in_site

CLIENTS = 1000
"""Of whom only some wait for the server at a time."""
WARM_UP = 100
STORM, PEER_STORM = 10_000, 1500
"""Clients that come back at once."""
ADDRESS = "/ws/bench?subscribe-user&subscribe-broadcast"
COOKIE = f"Cookie: sessionid={'0' * 24}{NUMBER}"
DJANGO_SHARE, OWN_US = 1.2, 150
"""What a handshake may take: a multiple of what Django alone takes to know the visitor, and so many
microseconds."""
PEERS = ("channels-uvicorn", "channels-daphne")


class Site:
    """A contender in its arena, and the visitors of its site.

    Args:
        field: The arena.
        variables: More of its environment.
    """

    def __init__(self, field: Arena, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._redis_path = field.redis_path
        self.load = field.load
        self.server = field.server

    def warm_up(self) -> None:
        """Let the server load what it needs."""
        self.load.connect(WARM_UP)
        self.load.close(WARM_UP)

    def visitors(self, command: str, count: int) -> str:
        """Run the program that makes and knows them; return what it prints."""
        program = ["visitors.py", command, str(count)]
        return run_in_site(program, self._redis_path, self._variables)


def measure(contender: str) -> Figures:
    """Connect some clients, then those that all come back to a new process."""
    with _site(contender, scaled(CLIENTS)) as site:
        figures = _one_by_one(site, scaled(CLIENTS)) | _django(site, scaled(CLIENTS))
    storm = scaled(PEER_STORM if is_peer(contender) else STORM)
    with _site(contender, storm) as site:
        started = time.monotonic()
        site.load.storm(storm)
        return figures | {"storm_s": time.monotonic() - started}


@contextmanager
def _site(contender: str, visitors: int) -> Iterator[Site]:
    """Start a contender whose site has visitors, and let it get warm."""
    with tempfile.TemporaryDirectory(prefix="ws4redis-") as directory:
        variables = {"BENCH_DATABASE": str(Path(directory) / "database")}
        with arena(contender, address=ADDRESS, headers=[COOKIE], variables=variables) as field:
            site = Site(field, variables)
            site.visitors("make", max(visitors, WARM_UP))
            site.warm_up()
            yield site


def _one_by_one(site: Site, clients: int) -> Figures:
    cpu, wall = site.server.cpu(), time.monotonic()
    site.load.connect(clients)
    cpu, wall = site.server.cpu() - cpu, time.monotonic() - wall
    return {"cpu_us": cpu * 1e6 / clients, "wall_us": wall * 1e6 / clients}


def _django(site: Site, visitors: int) -> Figures:
    """Return what Django alone takes to know a visitor, and what a handshake may take by that."""
    alone = json.loads(site.visitors("know", visitors))
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
            what="10 000 clients back at once, by 1500 of the other",
            figure="storm_s",
            ours=ours,
            reference=name,
            limit=1.0,
        )
        for name in PEERS
    ]


SCENARIO = Scenario(
    name="connects",
    title="handshakes with session and user, one after the other and all at once",
    contenders=("serve", *PEERS),
    measure=measure,
    bars=tuple(_bars("serve")),
)
