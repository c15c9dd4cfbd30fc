"""A broadcast that clients get compressed, beside the same one that they get as it is."""

from __future__ import annotations

from chatter import OFFER, publish_chat
from measurement import arena
from scale import scaled
from scenario import Bar, Figures, Scenario

CLIENTS, RATE, SECONDS = 1000, 50.0, 5.0
SIZE = 2048


def measure(contender: str) -> Figures:
    """Publish to clients that take compressed messages, and to clients that don't."""
    load = (scaled(CLIENTS), SIZE, RATE, SECONDS)
    with arena(contender) as field:
        plain = publish_chat(field, *load)
    with arena(contender, headers=[OFFER]) as field:
        packed = publish_chat(field, *load)
    if packed["bytes"] >= plain["bytes"]:
        raise RuntimeError(f"{contender} compressed nothing.")
    return {f"plain_{name}": value for name, value in plain.items()} | packed


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
