"""How long a client waits for its own message while another goes to eighteen thousand others."""

from __future__ import annotations

import statistics
import threading
import time

from measurement import Arena, arena
from scale import scaled
from scenario import Bar, Figures, Scenario
from websocket import Websocket

CLIENTS, FANOUTS = 18_000, 20
ECHO = "echo?subscribe-broadcast&publish-broadcast&echo"
LIMIT_MS = 20
"""Four slices of five milliseconds; ours are of three."""


def measure(contender: str) -> Figures:
    """Return the slowest echo of a fan-out, mostly and ever, and how long the rest takes."""
    clients = scaled(CLIENTS)
    with arena(contender) as field, Websocket(f"ws://127.0.0.1:{field.port}/ws/{ECHO}") as client:
        field.load.connect(clients)
        quiet = [_echo(client) for _ in range(10 * FANOUTS)]
        worst, fanouts = zip(
            *(_echoes_meanwhile(field, client, clients) for _ in range(FANOUTS)), strict=True
        )
    return {
        "echo_ms": statistics.median(worst),
        "slowest_echo_ms": max(worst),
        "fanout_ms": statistics.median(fanouts),
        "quiet_echo_ms": statistics.median(quiet),
    }


def _echoes_meanwhile(field: Arena, client: Websocket, clients: int) -> tuple[float, float]:
    """Send a message to everybody; return the slowest echo until all have it, and that time."""
    field.load.reset()
    started = time.monotonic_ns()
    ends: list[int] = []
    waiter = threading.Thread(
        target=lambda: ends.append(field.load.wait(clients).last_at_ns), daemon=True
    )
    waiter.start()
    field.publish_one()
    slowest = _echo(client)
    while waiter.is_alive():
        slowest = max(slowest, _echo(client))
    waiter.join()
    return slowest, (ends[0] - started) / 1e6


def _echo(client: Websocket) -> float:
    """Return the milliseconds until a message is back from Redis."""
    started = time.monotonic()
    client.send(b"echo")
    client.receive()
    return (time.monotonic() - started) * 1000


SCENARIO = Scenario(
    name="fairness",
    title="an echo through Redis while a message goes to 18 000 other clients of the same process",
    contenders=("serve", "uwsgi"),
    measure=measure,
    bars=tuple(
        Bar(
            what="ms of the slowest echo during a fan-out to 18 000 (median of 20 fan-outs)",
            figure="echo_ms",
            ours=ours,
            reference=None,
            limit=LIMIT_MS,
        )
        for ours in ("serve", "uwsgi")
    ),
)
