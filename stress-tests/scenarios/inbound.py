"""A thousand websockets that all speak: what it costs to bring a message to Redis.

Nobody listens, so that nothing but the way in is measured.
"""

from __future__ import annotations

import time

from measurement import WARM_UP, Arena, arena
from scale import scaled
from scenario import Bar, Figures, Scenario
from servers import is_peer
from waiting import settled

CLIENTS = 1000
INTERVAL_MS, PEER_INTERVAL_MS = 100, 1000
"""Milliseconds between two messages of one client. Who can't read as fast gets fewer, so that no
messages pile up: what one of them costs is compared, not how many there are."""
SECONDS = 5.0
ADDRESS, PEER_ADDRESS = "/ws/inbound?publish-broadcast", "/ws/inbound"
TEXT = "a-line-that-somebody-has-typed-and-everybody-is-to-see"
COMMANDS = {"serve": "publish", "uwsgi": "publish"}
PEER_COMMAND = "zrange"
"""What Channels asks Redis once for each message: who is in the group."""
PEERS = ("channels-uvicorn", "channels-daphne")


def measure(contender: str) -> Figures:
    """Let all clients speak; return the cost of a message that Redis got, and how many it got."""
    address = PEER_ADDRESS if is_peer(contender) else ADDRESS
    with arena(contender, address=address) as field:
        field.load.connect(scaled(CLIENTS))
        field.load.send_heartbeats(TEXT, PEER_INTERVAL_MS if is_peer(contender) else INTERVAL_MS)
        time.sleep(WARM_UP)
        return _measured(field, COMMANDS.get(contender, PEER_COMMAND))


def _measured(field: Arena, command: str) -> Figures:
    cpu, came, begin = field.server.cpu(), _calls(field, command), time.monotonic()
    time.sleep(SECONDS)
    cpu, came = field.server.cpu() - cpu, _calls(field, command) - came
    rate = came / (time.monotonic() - begin)
    _nothing_is_lost(field, command)
    return {"cpu_us": cpu * 1e6 / came, "rate": rate}


def _nothing_is_lost(field: Arena, command: str) -> None:
    """Make sure that what was sent has come to Redis.

    Raises:
        RuntimeError: Some of it has not.
    """
    sent = field.load.send_heartbeats("-", 0).sent
    came = settled(lambda: _calls(field, command), 0)
    if came != sent:
        raise RuntimeError(f"{sent} messages were sent, and {came} came to Redis.")


def _calls(field: Arena, command: str) -> int:
    """Return how often Redis was given a command."""
    known = field.redis.info("commandstats")
    return int(known.get(f"cmdstat_{command}", {}).get("calls", 0))


SCENARIO = Scenario(
    name="inbound",
    title="messages of 1000 clients, ten a second from each, on their way to Redis",
    contenders=("serve", "uwsgi", *PEERS),
    measure=measure,
    bars=tuple(
        Bar(
            what="CPU of a message from a client to Redis",
            figure="cpu_us",
            ours=ours,
            reference=name,
            limit=1 / 5,
        )
        for ours in ("serve", "uwsgi")
        for name in PEERS
    ),
)
