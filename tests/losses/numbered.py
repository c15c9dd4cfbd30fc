"""A publisher that numbers its messages; what it publishes with is given to it.

It runs with the packages of whatever site it publishes to, so it imports nothing but Python.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

PAUSE = 0.02
"""Seconds before a message that could not be published is tried again."""

Publish = Callable[[str, str], None]
"""Publishes a text, which has a name of its own; raises if it is not known to be published."""


def publish_until_told(
    publish: Publish, errors: tuple[type[Exception], ...], name: str, rate: float, size: int
) -> None:
    """Publish at a rate until the standard input ends; write a line for each published message.

    Each is tried until it succeeds, and then the next one follows.
    """
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    number, due = 0, time.monotonic()
    while not ended.wait(max(0.0, due - time.monotonic())):
        entry = f"{name}:{number}"
        while not _succeeds(publish, errors, f"{entry} ".ljust(size, "x"), entry):
            time.sleep(PAUSE)
        number += 1
        print(number, flush=True)
        # After an outage it goes on as before, and does not catch up.
        due = max(due + 1 / rate, time.monotonic())


def _succeeds(publish: Publish, errors: tuple[type[Exception], ...], text: str, entry: str) -> bool:
    try:
        publish(text, entry)
    except errors:
        return False
    return True
