"""Publishes durably on a facility; waits for a line between the commit and the publishing."""

from __future__ import annotations

import sys

import django

django.setup()

from django.db import transaction  # noqa: E402

from ws4redis.publisher import RedisPublisher  # noqa: E402


def wait() -> None:
    """Tell that the commit is done, and wait until it may go on."""
    sys.stdout.write("committed\n")
    sys.stdout.flush()
    sys.stdin.readline()


with transaction.atomic():
    transaction.on_commit(wait)
    publisher = RedisPublisher(facility=sys.argv[1], broadcast=True)
    publisher.publish_message("order 7 is paid", durable=True)
