"""Waiting for a condition, with a deadline instead of a guess."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

PATIENCE = float(os.environ.get("WS4REDIS_TEST_PATIENCE", "15"))
"""Seconds after which what has not happened is a failure."""


def wait_for(condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Return the first true result of a condition."""
    deadline = time.monotonic() + patience
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"It did not happen within {patience} s: {condition}")
        time.sleep(0.01)
    return result
