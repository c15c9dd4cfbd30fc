"""Visitors of the benchmark's project: makes them, and lets Django recognise them.

python visitors.py make N     make N users with a session each, numbered from zero
python visitors.py know N     load the session and the user of N of them; print what one takes
"""

from __future__ import annotations

import json
import sys
import time
from types import SimpleNamespace
from typing import Any

import django

django.setup()

from django.contrib.auth import (  # noqa: E402
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user,
)
from django.contrib.auth.models import User  # noqa: E402
from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import cache  # noqa: E402
from django.core.management import call_command  # noqa: E402

BACKEND = "django.contrib.auth.backends.ModelBackend"
HOUR = 3600


def main() -> None:
    """Do what the command line says."""
    command, count = sys.argv[1], int(sys.argv[2])
    if command == "make":
        make(count)
    else:
        print(json.dumps(know(count)))


def make(count: int) -> None:
    """Make users, and sessions in which they are logged in."""
    call_command("migrate", verbosity=0)
    User.objects.bulk_create(User(username=f"user{number}") for number in range(count))
    prefix = SessionStore.cache_key_prefix
    users = User.objects.order_by("pk")
    sessions = {f"{prefix}{session_key(n)}": _session(user) for n, user in enumerate(users)}
    cache.set_many(sessions, timeout=HOUR)


def session_key(number: int) -> str:
    """Return the key of the session of one of them."""
    return f"{number:032}"


def know(count: int) -> dict[str, float]:
    """Return the microseconds, of the processor and of the clock, that Django needs for one."""
    _know(0)
    cpu, clock = time.process_time(), time.monotonic()
    for number in range(count):
        _know(number)
    return {
        "cpu_us": (time.process_time() - cpu) * 1e6 / count,
        "wall_us": (time.monotonic() - clock) * 1e6 / count,
    }


def _know(number: int) -> None:
    request: Any = SimpleNamespace(session=SessionStore(session_key(number)))
    assert get_user(request).is_authenticated


def _session(user: User) -> dict[str, str]:
    """Return what Django's ``login()`` puts into a session."""
    return {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: BACKEND,
        HASH_SESSION_KEY: user.get_session_auth_hash(),
    }


if __name__ == "__main__":
    main()
