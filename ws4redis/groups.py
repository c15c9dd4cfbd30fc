"""The groups of a user: remembered in the session at login, read fresh where it counts."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import ManyToManyField

SESSION_KEY = "ws4redis:memberof"
"""Where the names of the groups are in the session."""


def groups_field(model: Any) -> ManyToManyField[Any, Any] | None:
    """Return the field of a user model that leads to its groups; None if it has none.

    A site's own model may have a property of that name, or another kind of relation.
    """
    try:
        field = model._meta.get_field("groups")
    except FieldDoesNotExist:
        return None
    return field if isinstance(field, ManyToManyField) else None


def group_names(user: Any) -> list[str]:
    """Return the names of the groups of a user; none if the user model has no groups."""
    groups = getattr(user, "groups", None)
    return list(groups.values_list("name", flat=True)) if groups is not None else []


def remember_groups(*, request: Any, user: Any, **_: Any) -> None:
    """Store the names of the user's groups in the session; receives ``user_logged_in``."""
    if hasattr(user, "groups") and hasattr(request, "session"):
        request.session[SESSION_KEY] = group_names(user)
