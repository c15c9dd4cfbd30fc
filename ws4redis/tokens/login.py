"""A login that is remembered, and looked at again when somebody comes with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from ws4redis import access
from ws4redis.identity import is_login, remember_session, session_key, user_id


@dataclass(frozen=True, slots=True)
class Login:
    """A stored user who was logged in, and by which session."""

    user: str
    """The primary key."""
    # Neither belongs into a log or a report of an error.
    hash: str = field(repr=False)
    """Changes with the password."""
    session: str = field(default="", repr=False)
    """The key of the session that has logged in the user; empty if none did."""

    @classmethod
    def of(cls, user: Any, session: Any = None) -> Login:
        """Return that of a stored user; a session counts if it is the one that logged in it."""
        key = session_key(session)
        own = key if key and is_login(session, user) else ""
        return cls(user_id(user), _hash(user), own)

    def find(self) -> Any:
        """Return the user as it is now; None if it has another password, or the session ended."""
        user = self._of_session() if self.session else self._stored()
        if user is None or user_id(user) != self.user:
            return None
        return user if constant_time_compare(_hash(user), self.hash) else None

    def _stored(self) -> Any:
        from django.contrib.auth import get_user_model  # needs the app registry

        return get_user_model()._default_manager.filter(pk=self.user).first()

    def _of_session(self) -> Any:
        request: Any = HttpRequest()
        access.load_session(request, self.session)
        user = getattr(request, "user", None)
        if user is None or not user.is_authenticated:
            return None
        remember_session(user, request.session)
        return user


def _hash(user: Any) -> str:
    # A site's own model of users need not have passwords.
    return str(user.get_session_auth_hash()) if hasattr(user, "get_session_auth_hash") else ""
