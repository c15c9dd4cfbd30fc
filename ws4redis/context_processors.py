"""What templates need to open a websocket."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest
from django.utils.safestring import SafeString, mark_safe

from ws4redis.conf import get_settings

_ESCAPES = {ord(char): f"\\u{ord(char):04X}" for char in "<>&\u2028\u2029"}


def default(request: HttpRequest) -> dict[str, Any]:
    """Return ``WEBSOCKET_URI`` and ``WS4REDIS_HEARTBEAT``.

    The first is the address of all facilities, such as ``wss://example.com/ws/``. The second is a
    JavaScript literal, with its quotes, or ``null``, and may stand in a ``<script>``.
    """
    return {
        "WEBSOCKET_URI": websocket_uri(request),
        "WS4REDIS_HEARTBEAT": _literal(get_settings().heartbeat),
    }


def websocket_uri(request: HttpRequest) -> str:
    """Return the address of all facilities, on the host that a page was asked from."""
    scheme = "wss" if request.is_secure() else "ws"
    return f"{scheme}://{request.get_host()}{get_settings().websocket_url}"


def _literal(value: str | None) -> SafeString:
    # Nothing is left in it that HTML or a script element could take for its own.
    return mark_safe(json.dumps(value).translate(_ESCAPES))
