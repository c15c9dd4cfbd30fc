"""The template tag that hands a page what it needs to open its websocket."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django import template
from django.template import Context
from django.utils.html import json_script
from django.utils.safestring import SafeString

from ws4redis import page

register = template.Library()

_UNENCODED = "!~*'()"
"""With these, Python encodes what JavaScript's ``encodeURIComponent`` does."""


@register.simple_tag(takes_context=True)
def ws4redis_socket(context: Context, facility: str, *flags: str) -> SafeString:
    """Write a ``<script type="application/json">`` with the options of one websocket.

    Its id is ``ws4redis-`` and the facility, percent-encoded as by ``encodeURIComponent``.

    Args:
        context: Made with the request.
        facility: The facility.
        flags: As in the address of a websocket, such as ``'subscribe-broadcast'``.

    Raises:
        ValueError: There is no such flag, no facility, or no request.
    """
    request: Any = getattr(context, "request", None) or context.get("request")
    if request is None:
        raise ValueError("ws4redis_socket needs the request: render the template with it.")
    identifier = f"ws4redis-{quote(facility, safe=_UNENCODED)}"
    return json_script(page.options(request, facility, flags), identifier)
