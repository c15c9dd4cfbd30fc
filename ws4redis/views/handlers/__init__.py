"""Websocket handlers: functions of an app's module ``websockets``, found by their names there.

::

    @websocket("/echo")
    def echo(ws, params, **kwargs):
        message = yield from ws.receive()
        ws.send_str(message.data)

    handlerconf = ["echo"]

They may be plain functions, which wait where they call, or generators, in which ``yield from``
stands before whatever waits; the one is run as the other.
"""

from __future__ import annotations

from ws4redis.views.handlers.decorators import websocket, websocket_pubsub
from ws4redis.views.handlers.manager import ChannelReader, SubscriptionManager
from ws4redis.views.handlers.routes import urlpatterns
from ws4redis.views.handlers.socket import HandlerSocket, Message, MsgType

__all__ = [
    "ChannelReader",
    "HandlerSocket",
    "Message",
    "MsgType",
    "SubscriptionManager",
    "urlpatterns",
    "websocket",
    "websocket_pubsub",
]
