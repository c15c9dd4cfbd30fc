"""Policies of the test project."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied

from tests.waiting import wait_for


def by_header(request: Any) -> None:
    """Log in whom a header names, without a session."""
    from django.contrib.auth.models import User

    request.user = User.objects.get(username=request.headers["X-User"])


def only_members(request: Any, channels: list[str]) -> list[str]:
    if not request.user.is_authenticated:
        raise PermissionDenied("Only for members.")
    return channels


def slowly(request: Any, channels: list[str]) -> list[str]:
    """Decide when a file appears."""
    logging.getLogger("ws4redis.policy").warning("The policy thinks")
    wait_for(Path(os.environ["WS4REDIS_TEST_DECISION"]).exists)
    return channels


def quoting(request: Any) -> None:
    """Fail with a text of the client."""
    raise ValueError(f"no room {request.GET['room']}")


def nobody_on_secret(request: Any, channels: Sequence[str]) -> Sequence[str]:
    if request.path_info.endswith("/secret"):
        raise PermissionDenied
    return channels
