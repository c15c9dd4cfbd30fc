"""Sample views: a chat, an echo, and ping-pong."""

from __future__ import annotations

from typing import Any

from ws4redis.views.decorators import websocket, websocket_loop
from ws4redis.views.socket import Websocket

CHAT = "CHAT"
"""The channel of Redis on which all who chat hear each other, and themselves."""

_ANSWERS = {"ping": "pong", "pong": "ping"}


@websocket
def chat(request: Any, websocket: Websocket, *args: Any, **kwargs: Any) -> None:
    """Relay what each client says to all of them."""
    websocket.subscribe(CHAT)
    for channel, data in websocket.events():
        if channel is None:
            websocket.publish(CHAT, data)
        else:
            websocket.send(data)


@websocket
def echo(request: Any, websocket: Websocket, *args: Any, **kwargs: Any) -> None:
    """Repeat what the client says."""
    for data in websocket:
        websocket.send(data)


@websocket_loop
def ping(request: Any, websocket: Websocket, *args: Any, **kwargs: Any) -> None:
    """Say pong to ping, ping to pong, and nothing to anything else."""
    answer = _ANSWERS.get(str(websocket.receive()))
    if answer is not None:
        websocket.send(answer)
