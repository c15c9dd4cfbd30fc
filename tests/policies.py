"""Policies of the test project."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.core.exceptions import PermissionDenied


def by_header(request: Any) -> None:
    """Log in whom a header names, without a session."""
    from django.contrib.auth.models import User

    request.user = User.objects.get(username=request.headers["X-User"])


def only_members(request: Any, channels: list[str]) -> list[str]:
    if not request.user.is_authenticated:
        raise PermissionDenied("Only for members.")
    return channels


def slowly(request: Any, channels: list[str]) -> list[str]:
    logging.getLogger("ws4redis.policy").warning("The policy thinks")
    time.sleep(0.5)
    return channels


def quoting(request: Any) -> None:
    """Fail with a text of the client."""
    raise ValueError(f"no room {request.GET['room']}")
