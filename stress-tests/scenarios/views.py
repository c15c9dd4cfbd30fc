"""A thousand clients of a view that echoes: what a round trip costs, and what a view keeps.

The site's own middleware runs at the handshake only, so that nothing but the echo is measured.
"""

from __future__ import annotations

import time

from measurement import WARM_UP, Arena, arena
from scale import scaled
from scenario import Bar, Figures, Scenario
from servers import is_peer
from waiting import wait_for

CLIENTS = 1000
FEW = 10
INTERVAL_MS, BUSY_INTERVAL_MS = 1000, 200
"""Milliseconds between two messages of one client; with a second Channels keeps up on one core."""
SECONDS = 5.0
TEXT = "a-line-that-somebody-has-typed-and-wants-to-see-again"
VIEW, CONSUMER = "/echo/", "/ws/echo"
FACILITY = "/ws/parked?subscribe-broadcast"
CODEC = "codec"
GREENLETS, THREADS = ("serve-patched", "uwsgi-patched"), ("serve", "uwsgi")
OURS = (*GREENLETS, *THREADS)
PEERS = ("channels-uvicorn", "channels-daphne")
SETTINGS = {"WEBSOCKET_URLCONF": "views_urls", "WS4REDIS_VIEW_THREADS": "2000"}
KIB = 1024


def measure(name: str) -> Figures:
    """Let all clients speak and be answered; return the cost of a round trip, and memory."""
    address = CONSUMER if is_peer(name) else VIEW
    with arena(name, address=address, **SETTINGS) as field:
        field.load.connect(FEW)
        memory = field.memory()
        field.load.connect(scaled(CLIENTS) - FEW)
        kept = {"memory_kib": _per_client(field.memory() - memory)}
        figures = _measured(field, INTERVAL_MS)
        if is_peer(name):
            return kept | figures
        busy = _measured(field, BUSY_INTERVAL_MS)
        busy = {f"busy_{figure}": value for figure, value in busy.items()}
        return kept | figures | busy | (_beside_a_facility(name, kept) if name in OURS else {})


def _beside_a_facility(name: str, kept: Figures) -> Figures:
    """Return what a parked view keeps more than a websocket on a facility does."""
    with arena(name, address=FACILITY, **SETTINGS) as field:
        field.load.connect(FEW)
        memory = field.memory()
        field.load.connect(scaled(CLIENTS) - FEW)
        return {"more_kib": kept["memory_kib"] - _per_client(field.memory() - memory)}


def _per_client(memory: int) -> float:
    return memory / KIB / (scaled(CLIENTS) - FEW)


def _measured(field: Arena, interval_ms: int) -> Figures:
    field.load.reset()
    field.load.send_heartbeats(TEXT, interval_ms)
    time.sleep(WARM_UP)
    cpu, came, begin = field.server.cpu(), _came(field), time.monotonic()
    time.sleep(SECONDS)
    cpu, came = field.server.cpu() - cpu, _came(field) - came
    rate = came / (time.monotonic() - begin)
    sent = field.load.send_heartbeats("-", 0).sent
    wait_for(lambda: _came(field) >= sent, f"the return of {sent} messages")
    return {"cpu_us": cpu * 1e6 / came, "rate": rate}


def _came(field: Arena) -> int:
    # No message of the benchmark: it says nothing of when it was made.
    return field.load.look().others


def _bars() -> tuple[Bar, ...]:
    factors = dict.fromkeys(GREENLETS, 2.5) | dict.fromkeys(THREADS, 8)
    beside_codec = [
        Bar(what=what, figure=figure, ours=ours, reference=CODEC, limit=limit)
        for what, figure in (
            ("CPU of a round trip through a view, one a second from each of 1000", "cpu_us"),
            ("CPU of a round trip through a view, five a second from each", "busy_cpu_us"),
        )
        for ours, limit in factors.items()
    ]
    beside_peers = [
        Bar(
            what="CPU of a round trip through a view",
            figure="cpu_us",
            ours=ours,
            reference=name,
            limit=1 / 3,
        )
        for ours in GREENLETS
        for name in PEERS
    ]
    memory = [
        Bar(
            what="KiB that a parked view keeps over a facility's websocket",
            figure="more_kib",
            ours=ours,
            reference=None,
            limit=24,
        )
        for ours in GREENLETS
    ]
    return (*beside_codec, *beside_peers, *memory)


SCENARIO = Scenario(
    name="views",
    title="1000 clients of a view that echoes, one message a second from each; busy: five",
    contenders=(CODEC, *GREENLETS, *THREADS, *PEERS),
    measure=measure,
    bars=_bars(),
)
