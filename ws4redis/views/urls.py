"""Addresses of websocket views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse

from ws4redis.conf import get_settings


def websocket_reverse(
    viewname: str,
    request: Any = None,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> str:
    """Return the whole address of a websocket view, such as ``wss://example.com/chat/``.

    Args:
        viewname: The name of its URL in ``WEBSOCKET_URLCONF``, with its namespace.
        request: Whose host and scheme it gets. May be missing if ``WEBSOCKET_SERVER`` is set; the
            scheme is then ``ws``.
        args: Arguments of the URL.
        kwargs: Arguments of the URL, by name.

    Raises:
        NoReverseMatch: There is no such URL.
        ImproperlyConfigured: ``WEBSOCKET_URLCONF`` is not set, or neither a request is given nor
            ``WEBSOCKET_SERVER`` is set.
    """
    settings = get_settings()
    if settings.websocket_urlconf is None:
        raise ImproperlyConfigured("Addresses of websocket views need WEBSOCKET_URLCONF.")
    if request is None and not settings.websocket_server:
        raise ImproperlyConfigured("Without a request, addresses need WEBSOCKET_SERVER.")
    path = reverse(
        viewname,
        urlconf=settings.websocket_urlconf,
        args=list(args) or None,
        kwargs=dict(kwargs) if kwargs else None,
    )
    scheme = "wss" if request is not None and request.is_secure() else "ws"
    return f"{scheme}://{settings.websocket_server or request.get_host()}{path}"
