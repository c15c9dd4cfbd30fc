"""Prints what Django alone takes to load the session and the user of a visitor: know.py COUNT."""

from __future__ import annotations

import json
import os
import sys
import time
from types import SimpleNamespace
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from django.contrib.auth import get_user  # noqa: E402
from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402


def main() -> None:
    """Print the microseconds, of the processor and of the clock, that one visitor takes."""
    count = int(sys.argv[1])
    know(0)
    cpu, clock = time.process_time(), time.monotonic()
    for number in range(count):
        know(number)
    cpu, clock = time.process_time() - cpu, time.monotonic() - clock
    print(json.dumps({"cpu_us": cpu * 1e6 / count, "wall_us": clock * 1e6 / count}))


def know(number: int) -> None:
    """Load the session and the user of a visitor, see ``visitors.py``."""
    request: Any = SimpleNamespace(session=SessionStore(f"visitor-session-{number}"))
    assert get_user(request).is_authenticated


if __name__ == "__main__":
    main()
