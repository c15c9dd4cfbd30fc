"""The groups of a user: remembered in the session at login, read fresh where it counts."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import connections, router
from django.db.models import ManyToManyField

SESSION_KEY = "ws4redis:memberof"
"""Where the names of the groups are in the session."""

_statements: dict[tuple[Any, str], str] = {}
"""The query for the names of a user's groups, by the user's model and the database."""


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
    if not has_groups_of_django(user):
        groups = getattr(user, "groups", None)
        return list(groups.values_list("name", flat=True)) if groups is not None else []
    model = user._meta.model
    alias = router.db_for_read(model.groups.field.related_model, instance=user)
    with connections[alias].cursor() as cursor:
        key = user._meta.pk.get_db_prep_value(user.pk, connections[alias])
        cursor.execute(_statement(user, model, alias), [key])
        return [name for (name,) in cursor]


def has_groups_of_django(user: Any) -> bool:
    """Return whether the groups of a user are Django's own, of which the database knows the names.

    Those that were prefetched need not be asked for again.
    """
    meta = getattr(user, "_meta", None)
    field = groups_field(meta.model) if meta is not None else None
    if field is None or "groups" in getattr(user, "_prefetched_objects_cache", ()):
        return False
    return bool(field.related_model._meta.label == "auth.Group")


def _statement(user: Any, model: Any, alias: str) -> str:
    """Return the query for the names: Django takes ten times as long to write it as to run it."""
    if (model, alias) not in _statements:
        query = user.groups.using(alias).values_list("name", flat=True).query
        _statements[model, alias] = query.get_compiler(alias).as_sql()[0]
    return _statements[model, alias]


def remember_groups(*, request: Any, user: Any, **_: Any) -> None:
    """Store the names of the user's groups in the session; receives ``user_logged_in``."""
    if hasattr(user, "groups") and hasattr(request, "session"):
        request.session[SESSION_KEY] = group_names(user)
