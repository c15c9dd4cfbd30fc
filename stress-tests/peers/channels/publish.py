"""Says the messages of each line on the standard input to the group of the benchmark.

usage: publish.py LAYER REDIS-URL
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path


async def main() -> None:
    """Publish until the input ends."""
    from channels.layers import get_channel_layer
    from consumers import GROUP

    layer = get_channel_layer()
    for line in sys.stdin:
        for text in json.loads(line):
            await layer.group_send(GROUP, {"type": "bench.message", "text": text})
        print(flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent / "site"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    os.environ["CHANNEL_LAYER"], os.environ["REDIS_URL"] = sys.argv[1:]
    asyncio.run(main())
