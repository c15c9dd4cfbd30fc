"""What ten thousand websockets cost on which nothing is said but signs of life."""

from __future__ import annotations

import time

from measurement import Arena, arena
from scale import scaled
from scenario import Bar, Figures, Scenario

CLIENTS = 10_000
SECONDS, REST = 10.0, 2.0
HEARTBEAT, CLIENT_BEAT_MS = "--heartbeat--", 5000
OURS = ("serve", "uwsgi")


def measure(contender: str) -> Figures:
    """Return per cent of one core: with pings alone, then with beats of either side, too."""
    clients = scaled(CLIENTS)
    with arena(contender) as field:
        field.load.connect(clients)
        pings = _share(field)
    with arena(contender, WS4REDIS_HEARTBEAT=HEARTBEAT) as field:
        field.load.connect(clients)
        beats = _share(field)
        field.load.send_heartbeats(HEARTBEAT, CLIENT_BEAT_MS)
        return {"pings": pings, "beats": beats, "both_beat": _share(field)}


def _share(field: Arena) -> float:
    time.sleep(REST)
    before, started = field.server.cpu(), time.monotonic()
    time.sleep(SECONDS)
    spent = field.server.cpu() - before
    # A websocket that was lost meanwhile is an error.
    field.load.reset()
    return 100 * spent / (time.monotonic() - started)


SCENARIO = Scenario(
    name="idle",
    title="per cent of one core for 10 000 websockets without messages",
    contenders=OURS,
    measure=measure,
    bars=tuple(
        Bar(what=what, figure=figure, ours=ours, reference=None, limit=limit)
        for ours in OURS
        for what, figure, limit in (
            ("% of a core, 10 000 idle, pings every 25 s", "pings", 1),
            ("% of a core, the same with heartbeats every 4 s", "beats", 3),
            ("% of a core, the same with clients' beats every 5 s", "both_beat", 10),
        )
    ),
)
