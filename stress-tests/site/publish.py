"""Publishes as a view does, in turns with a pipeline of redis-py that sends the same commands.

python publish.py CALLS USERS     CALLS messages to one channel, then one to each of USERS users
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from ws4redis.publisher import RedisPublisher  # noqa: E402
from ws4redis.redis_client import get_client  # noqa: E402

EXPIRE = 60
MESSAGE = "x" * 100
WARM_UP = 20
FEW = 7
"""Calls to many users."""


def main() -> None:
    """Print the median microseconds, of the processor and of the clock, of each way."""
    calls, count = int(sys.argv[1]), int(sys.argv[2])
    users = [f"user{number}" for number in range(count)]
    one = compared(publish_one, lambda: pipeline(["broadcast:bench"], transaction=True), calls)
    channels = [f"user:{user}:bench" for user in users]
    many = compared(lambda: publish_many(users), lambda: pipeline(channels, transaction=False), FEW)
    figures = {f"one_{name}": value for name, value in one.items()}
    print(json.dumps(figures | {f"many_{name}": value for name, value in many.items()}))


def compared(ours: Callable[[], None], raw: Callable[[], None], calls: int) -> dict[str, float]:
    """Let both take turns; return the medians of what they take."""
    taken: dict[str, list[float]] = {}
    for number in range(WARM_UP + calls):
        for name, act in (("ours", ours), ("raw", raw)):
            cpu, clock = measured(act)
            if number >= min(WARM_UP, calls // 2):
                taken.setdefault(f"{name}_cpu_us", []).append(cpu)
                taken.setdefault(f"{name}_wall_us", []).append(clock)
    return {name: statistics.median(values) for name, values in taken.items()}


def measured(act: Callable[[], None]) -> tuple[float, float]:
    """Return the microseconds, of the processor and of the clock, that something takes."""
    cpu, clock = time.process_time_ns(), time.monotonic_ns()
    act()
    return (time.process_time_ns() - cpu) / 1000, (time.monotonic_ns() - clock) / 1000


def publish_one() -> None:
    """Publish on one channel, and persist."""
    RedisPublisher(facility="bench", broadcast=True).publish_message(MESSAGE, EXPIRE)


def publish_many(users: Sequence[str]) -> None:
    """Publish to many users in one call, and persist."""
    RedisPublisher(facility="bench", users=users).publish_message(MESSAGE, EXPIRE)


def pipeline(channels: Sequence[str], *, transaction: bool) -> None:
    """Send the same commands by hand, with the same client."""
    commands = get_client().pipeline(transaction=transaction)
    for channel in channels:
        commands.set(channel, MESSAGE, ex=EXPIRE)
        commands.publish(channel, MESSAGE)
    commands.execute()


if __name__ == "__main__":
    main()
