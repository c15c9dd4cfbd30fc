"""Ten facilities, each websocket on four channels: broadcasts, and a message for each user."""

from __future__ import annotations

from collections.abc import Callable

from load import Answer
from measurement import WARM_UP, Arena, arena, message
from scale import scaled
from scenario import Bar, Figures, Scenario

CLIENTS, FACILITIES, FLOOR_RATE = 1000, 10, 50.0
RATE, SECONDS = 25.0, 3.0
"""How often in a second a broadcast goes to all facilities, or a message to each of the users."""
ALL = "subscribe-broadcast&subscribe-user&subscribe-group&subscribe-session"
SIZE = 100


def measure(contender: str) -> Figures:
    """Return the cost of a delivery of a broadcast, and of a message to one user."""
    clients = scaled(CLIENTS)
    if contender == "floor":
        with arena(contender) as field:
            field.load.connect(clients)
            return field.steady(clients, FLOOR_RATE, SECONDS, SIZE)
    with arena(contender, visitors=clients) as field:
        for facility in range(FACILITIES):
            field.load.visit(f"/ws/bench{facility}?{ALL}")
            field.load.connect(clients // FACILITIES)
        return {
            "cpu_us": _cost(field, _broadcasts(clients)),
            "user_cpu_us": _cost(field, _to_each_user(clients)),
        }


def _broadcasts(clients: int) -> list[str]:
    return [f"broadcast:bench{facility}" for facility in range(FACILITIES)]


def _to_each_user(clients: int) -> list[str]:
    each = clients // FACILITIES
    return [f"user:user{number}:bench{number // each}" for number in range(each * FACILITIES)]


def _cost(field: Arena, channels: list[str]) -> float:
    """Return the microseconds of a delivery when messages go to some channels in turns."""
    receivers = scaled(CLIENTS) // FACILITIES * FACILITIES

    def publish_all(due_ns: int) -> None:
        pipeline = field.redis.pipeline(transaction=False)
        for channel in channels:
            pipeline.publish(channel, message(SIZE, due_ns))
        pipeline.execute()

    _publish(field, publish_all, WARM_UP, receivers)
    before = field.server.cpu()
    answer = _publish(field, publish_all, SECONDS, receivers)
    return (field.server.cpu() - before) * 1e6 / answer.messages


def _publish(
    field: Arena, publish_all: Callable[[int], None], seconds: float, receivers: int
) -> Answer:
    field.load.reset()
    count = round(RATE * seconds)
    field.at_rate(publish_all, RATE, count)
    return field.load.wait(count * receivers)


SCENARIO = Scenario(
    name="audiences",
    title="10 facilities, each of 1000 clients on broadcast, user, group and session",
    contenders=("floor", "serve", "uwsgi"),
    measure=measure,
    bars=tuple(
        Bar(
            what=what,
            figure=figure,
            ours=ours,
            reference="floor",
            reference_figure="cpu_us",
            limit=limit,
        )
        for ours in ("serve", "uwsgi")
        for what, figure, limit in (
            ("CPU of a delivery, broadcasts on 10 facilities", "cpu_us", 1.8),
            ("CPU of a delivery, a message to each user", "user_cpu_us", 4),
        )
    ),
)
