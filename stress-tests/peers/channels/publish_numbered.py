"""Publishes numbered messages to the group of the benchmark.

usage: publish_numbered.py NAME RATE SIZE, with CHANNEL_LAYER and REDIS_URL in the environment
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.losses.numbered import publish_until_told


def main() -> None:
    """Publish until the input ends."""
    from channels.layers import get_channel_layer
    from consumers import GROUP
    from redis.exceptions import RedisError

    name, rate, size = sys.argv[1:]
    layer = get_channel_layer()
    with asyncio.Runner() as runner:

        def publish(text: str, key: str) -> None:
            runner.run(layer.group_send(GROUP, {"type": "bench.message", "text": text}))

        publish_until_told(publish, (RedisError, OSError), name, float(rate), int(size))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent / "site"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    main()
