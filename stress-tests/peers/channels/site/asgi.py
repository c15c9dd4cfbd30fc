"""The routes, as the documentation of Channels tells to write them."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from consumers import Echo, Listener, Speaker
from django.core.asgi import get_asgi_application
from django.urls import path

application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(
                URLRouter(
                    [
                        path("ws/bench", Listener.as_asgi()),
                        path("ws/inbound", Speaker.as_asgi()),
                        path("ws/echo", Echo.as_asgi()),
                    ]
                )
            )
        ),
    }
)
