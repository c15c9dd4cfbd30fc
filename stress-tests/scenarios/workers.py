"""Several processes behind one listener: what each of them has to do, and what Redis has.

All of them, Redis and the clients share the processors of this machine. So it is counted, too, how
long the busiest process computes for a burst: that alone limits it where there are enough of them.
"""

from __future__ import annotations

from measurement import Arena, arena
from publishers import CHANNEL
from scale import scaled
from scenario import Bar, Figures, Scenario

CLIENTS, FEW = 1000, 100
BURST, BURSTS = 1000, 20
"""Messages at once, and how often."""
TRAFFIC = 200
"""Messages for which Redis counts what it does."""
WORKERS = (1, 2, 4)


def measure(contender: str) -> Figures:
    """Return what bursts and Redis take, with more and more processes."""
    figures: Figures = {}
    for workers in WORKERS:
        with arena(contender, arguments=["--workers", str(workers)]) as field:
            own = _traffic(field, scaled(FEW), "few") | _traffic(field, scaled(CLIENTS), "many")
            own |= _bursts(field, scaled(CLIENTS)) | {"links": float(field.links())}
        figures |= {f"{name}_{workers}": value for name, value in own.items()}
    return figures


def _traffic(field: Arena, clients: int, name: str) -> Figures:
    """Return what Redis sends and does for one message, with so many clients in all."""
    field.load.connect(clients - field.load.reset().open)
    before = field.redis.info("stats")
    for _ in range(TRAFFIC):
        field.publish_one()
    field.load.wait(TRAFFIC * clients)
    after = field.redis.info("stats")
    fields = {"out": "total_net_output_bytes", "commands": "total_commands_processed"}
    figures = {key: (after[one] - before[one]) / TRAFFIC for key, one in fields.items()}
    # By chance, few clients may all be with some of the processes.
    [(_, listening)] = field.redis.pubsub_numsub(CHANNEL)
    figures["each"] = figures["out"] / listening
    return {f"{name}_{key}": value for key, value in figures.items()}


def _bursts(field: Arena, clients: int) -> Figures:
    """Return the seconds of a burst: those of the clock, and those the busiest process computes."""
    field.burst(clients, 1)
    before = field.server.computed()
    took = sum(field.burst(clients, scaled(BURST))["burst_s"] for _ in range(BURSTS))
    spent = [now - then for now, then in zip(field.server.computed(), before, strict=True)]
    return {"burst_s": took / BURSTS, "busiest_s": max(spent) / BURSTS}


def _bar(what: str, figure: str, reference_figure: str, limit: float) -> Bar:
    return Bar(
        what=what,
        figure=figure,
        ours="serve",
        reference="serve",
        reference_figure=reference_figure,
        limit=limit,
    )


SCENARIO = Scenario(
    name="workers",
    title="1000 messages at once to 1000 clients, and traffic of Redis, with 1, 2 and 4 processes",
    contenders=("serve",),
    measure=measure,
    bars=(
        _bar("burst: work of the busiest of 2, by that of 1", "busiest_s_2", "busiest_s_1", 0.65),
        _bar("burst: work of the busiest of 4, by that of 1", "busiest_s_4", "busiest_s_1", 0.5),
        _bar("burst: wall time with 2, by that with 1", "burst_s_2", "burst_s_1", 1),
        _bar("Redis: bytes a message, 2 processes, by 1", "many_out_2", "many_out_1", 2.1),
        _bar("Redis: bytes a message, 4 processes, by 1", "many_out_4", "many_out_1", 4.2),
        _bar("Redis: bytes for a process, 1000 clients, by 100", "many_each_2", "few_each_2", 1.1),
        _bar("Redis: links of 4 processes, by that of 1", "links_4", "links_1", 4),
    ),
)
