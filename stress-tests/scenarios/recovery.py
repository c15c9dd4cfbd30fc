"""What it costs that nothing is lost: coming back with what was missed, and frames with a head."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import quote

from load import Load
from measurement import Arena, arena, message
from scale import scaled
from scenario import Bar, Figures, Scenario

from ws4redis.channels import Namespace
from ws4redis.history import Histories, Retention, rules
from ws4redis.scripts import PUBLISH

FACILITY, CHANNEL = "kept", "broadcast:kept"
ADDRESS = f"/ws/{FACILITY}?subscribe-broadcast"
CLIENTS, MISSED = 1000, 100
LOST = 10
"""Messages that are published while a process has no link to Redis."""
RATE, SECONDS, TURNS = 50.0, 2.0, 3

Publish = Callable[[bytes], object]


def measure(contender: str) -> Figures:
    """Let clients come back, then cut a link, then publish to clients of both kinds."""
    clients = scaled(CLIENTS)
    with arena(contender) as field, Load(field.port, ADDRESS, dialect="v1") as load:
        kept = _publisher(field)
        return (
            _come_back(load, kept, clients)
            | _cut(field, load, kept, clients)
            | _deliver(field, load, kept, clients)
        )


def _publisher(field: Arena) -> Callable[[bytes], str]:
    """Return what publishes a message on the channel with a history, and returns its position."""
    histories, retention = Histories(Namespace(), rules({FACILITY: {}})), Retention(1000, 86_400)
    script = field.redis.register_script(PUBLISH.source)

    def publish(payload: bytes) -> str:
        call = histories.publish(CHANNEL, retention, payload, 0)
        _, position, _ = script(keys=call.keys, args=call.arguments)
        return str(position, "ascii")

    return publish


def _come_back(load: Load, publish: Callable[[bytes], str], clients: int) -> Figures:
    """Return the seconds until all clients are there again, without and with what they missed."""
    since = publish(message(100))
    load.connect(clients)
    load.close(clients)
    started = time.monotonic()
    load.storm(clients)
    bare = time.monotonic() - started
    load.close(clients)
    for _ in range(MISSED):
        publish(message(100))
    load.visit(f"{ADDRESS}&since={quote(f'{CHANNEL}@{since}', safe='')}")
    load.reset()
    started = time.monotonic()
    load.storm(clients)
    load.wait(MISSED * clients)
    return {"bare_s": bare, "recovery_s": time.monotonic() - started}


def _cut(field: Arena, load: Load, publish: Publish, clients: int) -> Figures:
    """Return how often each stream is read after a loss of the link."""
    load.reset()
    field.redis.config_resetstat()
    field.redis.client_kill_filter(_type="pubsub")
    for _ in range(LOST):
        publish(message(100))
    load.wait(LOST * clients)
    return {"reads": field.redis.info("commandstats")["cmdstat_xrange"]["calls"]}


def _deliver(field: Arena, load: Load, publish: Publish, clients: int) -> Figures:
    """Return what a delivery costs, raw and with a head; both take turns."""
    field.load.connect(clients)
    raw = kept = 0.0
    for _ in range(TURNS):
        raw += _cost(field, field.load, lambda payload: field.publish([payload]), clients)
        kept += _cost(field, load, publish, clients)
    return {"raw_cpu_us": raw / TURNS, "v1_cpu_us": kept / TURNS}


def _cost(field: Arena, load: Load, publish: Publish, clients: int) -> float:
    """Publish at a rate; return the microseconds of a delivery."""
    count = round(RATE * SECONDS)
    load.reset()
    before = field.server.cpu()
    field.at_rate(lambda due_ns: publish(message(100, due_ns)), RATE, count)
    load.wait(count * clients)
    return (field.server.cpu() - before) * 1e6 / (count * clients)


SCENARIO = Scenario(
    name="recovery",
    title="1000 clients that come back for 100 messages each, and what v1 frames cost",
    contenders=("serve",),
    measure=measure,
    bars=(
        Bar(
            what="1000 clients back with 100 messages each, by 1000 back without any",
            figure="recovery_s",
            ours="serve",
            reference="serve",
            reference_figure="bare_s",
            limit=3.0,
        ),
        Bar(
            what="reads of a stream by a process after it lost its link",
            figure="reads",
            ours="serve",
            reference=None,
            limit=1.0,
        ),
        Bar(
            what="CPU of a delivery with a head, by a raw one, 1000 clients, 50 msg/s, 100 B",
            figure="v1_cpu_us",
            ours="serve",
            reference="serve",
            reference_figure="raw_cpu_us",
            limit=1.15,
        ),
    ),
)
