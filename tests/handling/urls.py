"""Handlers, beside a view for whoever has a token."""

from __future__ import annotations

from django.urls import path

from ws4redis.tokens import token_required
from ws4redis.views import handlers, websocket


@token_required
@websocket
def private(request, websocket):
    seen = [
        request.user.username,
        request.get_full_path(),
        sorted(websocket.subprotocols),
        sorted(request.headers.keys() & {"Authorization", "Sec-Websocket-Protocol"}),
    ]
    websocket.send_json(seen)


urlpatterns = [path("private/", private), *handlers.urlpatterns()]
