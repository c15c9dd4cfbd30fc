"""Makes users who are logged in: python visitors.py COUNT.

``user0`` has the session ``visitor-session-0`` and is in the group ``everybody``, and so on.
"""

from __future__ import annotations

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.auth.models import Group, User  # noqa: E402
from django.contrib.sessions.backends.cache import KEY_PREFIX  # noqa: E402
from django.core.cache import cache  # noqa: E402
from django.core.management import call_command  # noqa: E402

BACKEND = "django.contrib.auth.backends.ModelBackend"


def main() -> None:
    """Make the database, the users and their sessions."""
    call_command("migrate", verbosity=0)
    people = [User(username=f"user{number}", password="!") for number in range(int(sys.argv[1]))]
    User.objects.bulk_create(people)
    group = Group.objects.create(name="everybody")
    group.user_set.set(people)
    sessions = {
        f"{KEY_PREFIX}visitor-session-{number}": _session(user)
        for number, user in enumerate(people)
    }
    cache.set_many(sessions)


def _session(user: User) -> dict[str, str]:
    """Return what Django keeps of somebody who is logged in."""
    return {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: BACKEND,
        HASH_SESSION_KEY: user.get_session_auth_hash(),
    }


if __name__ == "__main__":
    main()
