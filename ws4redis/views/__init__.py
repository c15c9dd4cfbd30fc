"""A websocket endpoint as an ordinary Django view."""

from __future__ import annotations

from ws4redis.exceptions import BadMessage
from ws4redis.views.decorators import websocket, websocket_loop
from ws4redis.views.generic import WebSocketView
from ws4redis.views.socket import Event, Websocket

__all__ = ["BadMessage", "Event", "WebSocketView", "Websocket", "websocket", "websocket_loop"]
