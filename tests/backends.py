"""Authentication backends of the test project."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied

SECRET = "ldap://10.0.0.3 refused the password 7Hjk2"


class Failing(ModelBackend):
    """Can't say who the user is."""

    def get_user(self, user_id: Any) -> Any:
        raise ConnectionError(SECRET)


class Quitting(ModelBackend):
    """Ends whatever calls it."""

    def get_user(self, user_id: Any) -> Any:
        raise SystemExit(SECRET)


class Forgetful(ModelBackend):
    """Knows nobody any more."""

    def get_user(self, user_id: Any) -> Any:
        return None


class Refusing(ModelBackend):
    """Refuses by the exception for it."""

    def get_user(self, user_id: Any) -> Any:
        raise PermissionDenied
