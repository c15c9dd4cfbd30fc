"""A URLconf of all handlers: ``WEBSOCKET_URLCONF = "ws4redis.views.handlers.urls"``."""

from __future__ import annotations

from ws4redis.views.handlers import routes

urlpatterns = routes.urlpatterns()
