"""A thousand websockets that all speak: what it costs to bring a message to Redis.

Nobody listens, so that nothing but the way in is measured.
"""

from __future__ import annotations

import time

from measurement import WARM_UP, Arena, arena
from scale import scaled
from scenario import Bar, Figures, Scenario
from servers import is_peer
from waiting import wait_for

CLIENTS = 1000
INTERVAL_MS, BUSY_INTERVAL_MS = 1000, 100
"""Milliseconds between two messages of one client: a second, with which Channels keeps up on one
core, and what ours are to stand. Compared is the cost at the same rate."""
SECONDS = 5.0
ADDRESS, PEER_ADDRESS = "/ws/inbound?publish-broadcast", "/ws/inbound"
TEXT = "a-line-that-somebody-has-typed-and-everybody-is-to-see"
COMMANDS = ("publish", "zremrangebyscore")
"""One of them comes to Redis for each message. Channels forgets who was in the group for too long,
before it asks who is; nobody is."""
PEERS = ("channels-uvicorn", "channels-pubsub", "channels-daphne")


def measure(contender: str) -> Figures:
    """Let all clients speak; return the cost of a message that Redis got, and how many it got."""
    address = PEER_ADDRESS if is_peer(contender) else ADDRESS
    with arena(contender, address=address) as field:
        field.load.connect(scaled(CLIENTS))
        figures = _measured(field, INTERVAL_MS)
        if is_peer(contender):
            return figures
        busy = _measured(field, BUSY_INTERVAL_MS)
        return figures | {f"busy_{name}": value for name, value in busy.items()}


def _measured(field: Arena, interval_ms: int) -> Figures:
    field.load.reset()
    before = _came(field)
    field.load.send_heartbeats(TEXT, interval_ms)
    time.sleep(WARM_UP)
    cpu, came, begin = field.server.cpu(), _came(field), time.monotonic()
    time.sleep(SECONDS)
    cpu, came = field.server.cpu() - cpu, _came(field) - came
    rate = came / (time.monotonic() - begin)
    _nothing_is_lost(field, before)
    return {"cpu_us": cpu * 1e6 / came, "rate": rate}


def _nothing_is_lost(field: Arena, before: int) -> None:
    """Wait until all that was sent since then has come to Redis."""
    sent = field.load.send_heartbeats("-", 0).sent
    wait_for(lambda: _came(field) - before >= sent, f"the arrival of {sent} messages")


def _came(field: Arena) -> int:
    """Return how many messages have come to Redis."""
    known = field.redis.info("commandstats")
    return sum(int(known.get(f"cmdstat_{one}", {}).get("calls", 0)) for one in COMMANDS)


SCENARIO = Scenario(
    name="inbound",
    title="messages of 1000 clients on their way to Redis, one a second from each; busy: ten",
    contenders=("serve", "uwsgi", *PEERS),
    measure=measure,
    bars=tuple(
        Bar(
            what=what,
            figure=figure,
            ours=ours,
            reference=name,
            limit=1 / 5,
            reference_figure="cpu_us",
        )
        for what, figure in (
            ("CPU of a message from 1000 clients to Redis, one a second from each", "cpu_us"),
            ("CPU of a message, ten a second from each, by one of those", "busy_cpu_us"),
        )
        for ours in ("serve", "uwsgi")
        for name in PEERS
    ),
)
