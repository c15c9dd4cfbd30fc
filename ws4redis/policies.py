"""Ready-made answers to who may do what, for ``WS4REDIS_ALLOWED_CHANNELS``.

Each takes the request and the channels that are asked for, such as ``subscribe-broadcast``, and
returns those that are granted, or refuses the whole request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import reduce
from typing import Any

from django.core.exceptions import PermissionDenied

from ws4redis.conf import get_settings

Policy = Callable[[Any, Sequence[str]], Sequence[str]]

_SUBSCRIBE = "subscribe-"


def everybody(request: Any, channels: Sequence[str]) -> Sequence[str]:
    """Everybody may listen and publish."""
    return channels


def nobody(request: Any, channels: Sequence[str]) -> Sequence[str]:
    """Nobody may open a websocket.

    Raises:
        PermissionDenied: Always.
    """
    raise PermissionDenied("Nobody may open this.")


def subscribe_only(request: Any, channels: Sequence[str]) -> Sequence[str]:
    """Everybody may listen; only Django publishes."""
    return [channel for channel in channels if channel.startswith(_SUBSCRIBE)]


def authenticated_only(request: Any, channels: Sequence[str]) -> Sequence[str]:
    """Who is logged in may listen and publish.

    Raises:
        PermissionDenied: Nobody is logged in.
    """
    if not request.user.is_authenticated:
        raise PermissionDenied("Log in first.")
    return channels


def all_of(*policies: Policy) -> Policy:
    """Return a policy that grants what each of some policies grants."""

    def policy(request: Any, channels: Sequence[str]) -> Sequence[str]:
        return reduce(lambda granted, one: one(request, granted), policies, channels)

    return policy


def by_facility(rules: Mapping[str, Policy], default: Policy = nobody) -> Policy:
    """Return a policy with rules of its own for each facility.

    Args:
        rules: By facility, or by a pattern such as ``chat-*``. The first that fits counts.
        default: What counts for all other facilities.
    """

    def policy(request: Any, channels: Sequence[str]) -> Sequence[str]:
        facility = request.path_info.removeprefix(get_settings().websocket_url)
        fitting = (rule for pattern, rule in rules.items() if fnmatchcase(facility, pattern))
        return next(fitting, default)(request, channels)

    return policy
