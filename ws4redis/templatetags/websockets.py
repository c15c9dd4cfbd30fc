"""``{% load websockets %}``: addresses of websocket views."""

from __future__ import annotations

from typing import Any

from django import template

from ws4redis.views.urls import websocket_reverse

register = template.Library()


@register.simple_tag(takes_context=True)
def websocket_url(context: template.Context, viewname: str, *args: Any, **kwargs: Any) -> str:
    """Return the address of a websocket view: ``{% websocket_url 'chat' room=5 %}``."""
    # The context processor of that name is not needed, and may have been used all the same.
    request = getattr(context, "request", None) or context.get("request")
    return websocket_reverse(viewname, request, args=args, kwargs=kwargs)
