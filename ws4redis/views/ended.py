"""What a view answers that has used its websocket."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse


class Ended(HttpResponse):
    """A response for the sake of decorators and middleware; nobody else gets to see it."""

    status_code = 204


def response_of(request: Any, returned: Any) -> Any:
    """Return what a view has returned; if that is nothing, open its websocket all the same."""
    if returned is not None:
        return returned
    request.websocket.accept()
    return Ended()
