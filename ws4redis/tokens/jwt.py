"""JSON web tokens, by PyJWT; ``WS4REDIS_JWT`` says how they are signed and name their user."""

from __future__ import annotations

import logging
from typing import Any

import jwt
from django.core.exceptions import ValidationError
from django.views.decorators.debug import sensitive_variables

from ws4redis import flood
from ws4redis.conf import jwt_options

logger = flood.clients.guard(logging.getLogger(__name__))

KIND = "token_type"
"""The claim by which some issuers, such as Simple JWT, tell what a token is for."""
SEVERAL = "A token names more than one user by %r (WS4REDIS_JWT), so it is nobody's"


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

    # Nobody has an empty name: users without one, such as without an address, are many.
    if not isinstance(value, (str, int)) or isinstance(value, bool) or value == "":
        return None
    try:
        found = list(get_user_model()._default_manager.filter(**{field: value})[:2])
    except (ValueError, OverflowError, ValidationError):
        # It is no value of that field.
        return None
    if len(found) > 1:
        logger.warning(SEVERAL, field)
        return None
    return found[0] if found else None
