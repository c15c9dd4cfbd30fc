"""Publishes numbered messages on the channel of the test: publisher.py NAME RATE SIZE."""

from __future__ import annotations

import sys

import django

from tests.losses.numbered import publish_until_told

FACILITY = "losses"


def main() -> None:
    django.setup()

    from ws4redis.exceptions import BusError
    from ws4redis.publisher import RedisPublisher

    publisher = RedisPublisher(facility=FACILITY, broadcast=True)

    def publish(text: str, key: str) -> None:
        publisher.publish_message(text, idempotency_key=key)

    name, rate, size = sys.argv[1:]
    publish_until_told(publish, (BusError,), name, float(rate), int(size))


if __name__ == "__main__":
    main()
