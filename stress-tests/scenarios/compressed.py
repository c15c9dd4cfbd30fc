"""A broadcast that clients get compressed, beside the same one that they get as it is."""

from __future__ import annotations

from itertools import cycle

from chatter import OFFER, chat
from measurement import STAMP, WARM_UP, Arena, arena, message
from scale import scaled
from scenario import Bar, Figures, Scenario

CLIENTS, RATE, SECONDS = 1000, 50.0, 5.0
SIZE = 2048
VARIANTS = 50
"""Messages that differ."""


def measure(contender: str) -> Figures:
    """Publish to clients that take compressed messages, and to clients that don't."""
    with arena(contender) as field:
        plain = _steady(field)
    with arena(contender, headers=[OFFER]) as field:
        packed = _steady(field)
    if packed["bytes"] >= plain["bytes"]:
        raise RuntimeError(f"{contender} compressed nothing.")
    return {f"plain_{name}": value for name, value in plain.items()} | packed


def _steady(field: Arena) -> Figures:
    """Return the microseconds of a delivery, and its bytes."""
    clients, texts = scaled(CLIENTS), cycle([chat(SIZE - STAMP, seed) for seed in range(VARIANTS)])
    field.load.connect(clients)

    def publish(seconds: float) -> Figures:
        field.load.reset()
        count = round(RATE * seconds)
        field.at_rate(lambda due: field.publish([message(STAMP, due) + next(texts)]), RATE, count)
        return {"bytes": field.load.wait(count * clients).bytes / count / clients}

    publish(WARM_UP)
    before = field.server.cpu()
    figures = publish(SECONDS)
    spent = field.server.cpu() - before
    return {"cpu_us": spent * 1e6 / (round(RATE * SECONDS) * clients)} | figures


SCENARIO = Scenario(
    name="compressed",
    title="a delivery of 2 KiB of JSON to one of 1000 websockets, at 50 messages a second",
    contenders=("serve", "uwsgi"),
    measure=measure,
    bars=tuple(
        Bar(
            what="CPU of a compressed delivery, by an uncompressed one, 2 KiB",
            figure="cpu_us",
            ours=ours,
            reference=ours,
            reference_figure="plain_cpu_us",
            limit=1.3,
        )
        for ours in ("serve", "uwsgi")
    ),
)
