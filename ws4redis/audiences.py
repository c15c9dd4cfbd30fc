"""Turns the audiences that a caller names into ids of channels; ``SELF`` into those of a request.

What resolves to nobody is an error and never a channel that strangers would share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypedDict

from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore

from ws4redis.groups import group_names


class _Self:
    """The type of ``SELF``."""

    def __repr__(self) -> str:
        return "SELF"


SELF = _Self()
"""In ``users``, ``groups`` and ``sessions``: those of the request."""


class Unresolved(ValueError):
    """An audience addresses nobody; the text says why."""


class Audiences(TypedDict):
    """The ids by audience."""

    broadcast: bool
    groups: list[str]
    users: list[str]
    sessions: list[str]


def resolve(
    request: Any, *, broadcast: Any = False, groups: Any = (), users: Any = (), sessions: Any = ()
) -> Audiences:
    """Return the ids that the arguments stand for.

    Args:
        request: What ``SELF`` stands for; may be None where there is no ``SELF``.
        broadcast: Whether everybody is addressed.
        groups: Names of groups, groups, or ``SELF``.
        users: Names of users, users, or ``SELF``.
        sessions: Keys of sessions, or ``SELF``.

    Raises:
        TypeError: An argument has a wrong type; the text names it.
        Unresolved: ``SELF`` stands for nobody; the text names the argument.
    """
    if not isinstance(broadcast, bool):
        raise TypeError(f"broadcast must be True or False, got {broadcast!r}.")
    return Audiences(
        broadcast=broadcast,
        groups=_ids("groups", groups, request, own_groups, "name"),
        users=_ids("users", users, request, own_user, "get_username"),
        sessions=_ids("sessions", sessions, request, own_session, None),
    )


def authenticated_user(request: Any) -> Any:
    """Return the user of the request.

    Raises:
        Unresolved: Nobody is logged in.
    """
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        raise Unresolved("nobody is logged in")
    return user


def own_user(request: Any) -> list[str]:
    """Return the name of the request's user, as a list of one.

    Raises:
        Unresolved: Nobody is logged in, or the user has no name.
    """
    if not (name := _text(authenticated_user(request).get_username())):
        raise Unresolved("the user has no name")
    return [name]


def own_groups(request: Any) -> list[str]:
    """Return the names of the groups of the request's user, as they are now.

    Raises:
        Unresolved: Nobody is logged in.
    """
    return group_names(authenticated_user(request))


def own_session(request: Any) -> list[str]:
    """Return the key of the request's session, as a list of one.

    Raises:
        Unresolved: There is no saved session, or its key is no stable name.
    """
    session = getattr(request, "session", None)
    if isinstance(session, CookieStore):
        raise Unresolved("sessions in signed cookies have no lasting key")
    if session is None or not session.session_key:
        raise Unresolved("there is no saved session")
    return [str(session.session_key)]


def texts(name: str, items: Any) -> list[str]:
    """Return the texts of a list.

    Args:
        name: Of the argument, for the error.
        items: The list.

    Raises:
        TypeError: It is no list of texts that are not empty.
    """
    return _ids(name, items, None, own_session, None)


def _ids(
    name: str, items: Any, request: Any, own: Callable[[Any], list[str]], attribute: str | None
) -> list[str]:
    if not _is_list(items):
        raise TypeError(f"{name} must be a list, such as [{items!r}] or [SELF], got {items!r}.")
    ids: list[str] = []
    for item in items:
        if item is SELF:
            ids += _own(name, request, own)
        else:
            ids.append(_id(name, item, attribute))
    return ids


def _is_list(items: Any) -> bool:
    # To ask for Iterable takes long, and each publish does it three times.
    if isinstance(items, (tuple, list)):
        return True
    return isinstance(items, Iterable) and not isinstance(items, (str, bytes, bool))


def _own(name: str, request: Any, own: Callable[[Any], list[str]]) -> list[str]:
    if request is None:
        raise Unresolved(f"{name}=[SELF] needs request=…, which was not given.")
    try:
        return own(request)
    except Unresolved as error:
        raise Unresolved(f"{name}=[SELF] stands for nobody: {error}.") from None


def _id(name: str, item: Any, attribute: str | None) -> str:
    value = item
    if attribute and hasattr(item, attribute):
        value = getattr(item, attribute)
        value = _text(value() if callable(value) else value)
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name} must hold texts, got {item!r}.")
    return value


def _text(name: Any) -> str:
    """Return a name as text; a site's own user may have a number, a UUID, or None for a name."""
    return "" if name is None else str(name)
