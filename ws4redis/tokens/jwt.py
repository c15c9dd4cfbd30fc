"""JSON web tokens, by PyJWT; ``WS4REDIS_JWT`` says how they are signed and name their user."""

from __future__ import annotations

from typing import Any

import jwt
from django.core.exceptions import ValidationError
from django.views.decorators.debug import sensitive_variables

from ws4redis.conf import jwt_options

KIND = "token_type"
"""The claim by which some issuers, such as Simple JWT, tell what a token is for."""


@sensitive_variables()
def authenticate(token: str) -> Any:
    """Return the user of a token; None if it is not valid any more, or never was.

    Raises:
        jwt.PyJWTError: The key is none of its algorithm.
    """
    options = jwt_options()
    claim = options["claim"]
    try:
        claims = jwt.decode(
            token,
            options["key"],
            algorithms=list(options["algorithms"]),
            audience=options.get("audience"),
            issuer=options.get("issuer"),
            leeway=options["leeway"],
            options={"require": ["exp", claim]},
        )
    except jwt.InvalidTokenError:
        return None
    # One that only gets new ones lives for weeks.
    if claims.get(KIND, "access") != "access":
        return None
    return _user(options["field"], claims[claim])


def _user(field: str, value: Any) -> Any:
    from django.contrib.auth import get_user_model  # needs the app registry

    if not isinstance(value, (str, int)) or isinstance(value, bool):
        return None
    try:
        return get_user_model()._default_manager.filter(**{field: value}).first()
    except (ValueError, OverflowError, ValidationError):
        # It is no value of that field.
        return None
