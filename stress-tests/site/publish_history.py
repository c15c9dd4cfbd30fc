"""Publishes with a history, in turns with a pipeline of redis-py that persists and publishes only.

python publish_history.py CALLS USERS     as publish.py
"""

from __future__ import annotations

import json
import sys

from django.test import override_settings
from publish import FEW, compared, pipeline, publish_many, publish_one

LENGTH = 1000


def main() -> None:
    """Print the median microseconds, of the processor and of the clock, of each way."""
    calls, count = int(sys.argv[1]), int(sys.argv[2])
    users = [f"user{number}" for number in range(count)]
    channels = [f"user:{user}:bench" for user in users]
    with override_settings(WS4REDIS_HISTORY={"bench": {"length": LENGTH}}):
        one = compared(publish_one, lambda: pipeline(["broadcast:bench"], transaction=True), calls)
        many = compared(
            lambda: publish_many(users), lambda: pipeline(channels, transaction=False), FEW
        )
    figures = {f"one_{name}": value for name, value in one.items()}
    print(json.dumps(figures | {f"many_{name}": value for name, value in many.items()}))


if __name__ == "__main__":
    main()
