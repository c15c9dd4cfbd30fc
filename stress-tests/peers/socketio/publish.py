"""Emits the messages of each line on the standard input, as @socket.io/redis-emitter does."""

from __future__ import annotations

import json
import sys

import msgpack  # type: ignore[import-untyped, unused-ignore]
import redis

CHANNEL = "socket.io#/#"
EVENT = 2
OPTIONS = {"rooms": [], "except": [], "flags": {}}


def packet(text: str) -> bytes:
    """Return what goes through Redis for one event to all."""
    event = {"type": EVENT, "data": ["message", text], "nsp": "/"}
    return bytes(msgpack.packb(["emitter", event, OPTIONS]))


def main() -> None:
    """Publish until the input ends."""
    client = redis.Redis.from_url(sys.argv[1])
    for line in sys.stdin:
        pipeline = client.pipeline(transaction=False)
        for text in json.loads(line):
            pipeline.publish(CHANNEL, packet(text))
        pipeline.execute()
        print(flush=True)


if __name__ == "__main__":
    main()
