"""Tokens of Django REST framework (``rest_framework.authtoken``)."""

from __future__ import annotations

from typing import Any

import rest_framework  # noqa: F401  the check of WS4REDIS_TOKEN_AUTH says if it is missing
from django.views.decorators.debug import sensitive_variables


@sensitive_variables()
def authenticate(token: str) -> Any:
    """Return the user of a token; None if there is none."""
    # Its models can be imported only when all apps are.
    from rest_framework.authentication import TokenAuthentication
    from rest_framework.exceptions import AuthenticationFailed

    try:
        user, _ = TokenAuthentication().authenticate_credentials(token)
    except AuthenticationFailed:
        return None
    return user
