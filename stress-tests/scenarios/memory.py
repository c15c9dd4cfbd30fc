"""What an idle websocket keeps in memory, with all that a site usually has switched on."""

from __future__ import annotations

from measurement import Arena, arena
from scale import scaled
from scenario import Bar, Figures, Scenario

FEW, SOME, MANY = 10, 1000, 5000
STEPS = (SOME, 2500, MANY)
KIB = 1024
ADDRESS = "/ws/bench?subscribe-broadcast&subscribe-user&subscribe-session"
HEARTBEAT_MS = 4000
OWN = ("serve", "uwsgi")
PEERS = ("floor", "nchan", "ws", "uwsgi-api", "socketio", "channels-uvicorn", "channels-daphne")


def measure(contender: str) -> Figures:
    """Hold many websockets, ours with session, user and heartbeats both ways."""
    if contender not in OWN:
        with arena(contender) as field:
            return _grow(field)
    settings = {"WS4REDIS_HEARTBEAT": "--heartbeat--"}
    with arena(contender, address=ADDRESS, visitors=scaled(MANY), **settings) as field:
        field.load.send_heartbeats("--heartbeat--", HEARTBEAT_MS)
        return _grow(field)


def _grow(field: Arena) -> Figures:
    """Return the memory of one more websocket, of all at each step, and connections to Redis."""
    field.load.connect(FEW)
    # The first websockets load modules and fill caches, which no later one pays again.
    memory = {FEW: field.memory()}
    links = {FEW: field.links()}
    for count in STEPS:
        field.load.connect(scaled(count) - field.load.reset().open)
        memory[count], links[count] = field.memory(), field.links()
    # Asked afterwards, as a websocket that was lost meanwhile is an error.
    held = field.load.reset().open - FEW
    return {
        "memory_kib": (memory[MANY] - memory[FEW]) / KIB / held,
        "more_links": float(links[SOME] - links[FEW]),
        **{f"mib_{count}": size / KIB**2 for count, size in memory.items()},
    }


SCENARIO = Scenario(
    name="memory",
    title="proportional memory of one of 5000 idle websockets; connections to Redis for 990 more",
    contenders=(*OWN, *PEERS),
    measure=measure,
    bars=tuple(
        bar
        for ours in OWN
        for bar in (
            Bar(
                what="KiB of an idle websocket with session, user and heartbeat",
                figure="memory_kib",
                ours=ours,
                reference=None,
                limit=5,
            ),
            Bar(
                what="connections to Redis for 990 more websockets",
                figure="more_links",
                ours=ours,
                reference=None,
                limit=0,
            ),
        )
    ),
)
