"""Policies of the test project."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied


def only_members(request: Any, channels: list[str]) -> list[str]:
    if not request.user.is_authenticated:
        raise PermissionDenied("Only for members.")
    return channels
