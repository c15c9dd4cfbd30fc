"""Hostile input for everything that reads bytes from the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping


def load_targets() -> Mapping[str, Callable[[bytes], None]]:
    """Return what is fuzzed, by its names; for processes in which nobody has set Django up yet."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    from tests.fuzz.targets import TARGETS

    return TARGETS
