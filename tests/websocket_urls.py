"""Websocket views of the test project."""

from __future__ import annotations

import os
import threading
from select import select
from typing import Any

import redis
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.urls import include, path, re_path

from ws4redis.views import WebSocketView, websocket, websocket_loop
from ws4redis.views.samples import chat, echo, ping


@login_required
@websocket
def greet(request: Any, websocket: Any) -> None:
    websocket.send(f"hello {request.user.username}")


@websocket
@permission_required("auth.add_user", raise_exception=True)
def permitted(request: Any, websocket: Any) -> None:
    websocket.send("permitted")


class Upper(WebSocketView):
    def on_message(self, message: Any) -> None:
        self.websocket.send(message.upper())


@websocket
def old_chat(request: Any, websocket: Any, *args: Any, **kwargs: Any) -> None:
    """That of django-websocket's document, with another Redis and text instead of bytes."""
    conn = redis.StrictRedis.from_url(os.environ["REDIS_URL"], decode_responses=True)
    subs = conn.pubsub()
    subs.subscribe("CHAT")

    def incoming() -> None:
        data = websocket.receive()
        if data:
            conn.publish("CHAT", data)

    def outgoing() -> None:
        msg_type, _channel, message = subs.parse_response()
        if msg_type == "message":
            websocket.send(message)

    sockets = {
        websocket.handler.socket.fileno(): incoming,
        subs.connection._sock.fileno(): outgoing,
    }

    while not websocket.closed:
        fd = select(sockets.keys(), [], [])[0][0]
        sockets[fd]()


@websocket_loop
def repeat(request: Any, websocket: Any, times: int) -> None:
    websocket.send(websocket.receive() * times)


@websocket
def fail(request: Any, websocket: Any, how: str) -> Any:
    """Fail before or after the websocket is open."""
    if how.startswith("after"):
        websocket.receive()
    failures = {
        "denied": PermissionDenied("secret"),
        "missing": Http404("secret"),
        "error": ValueError("secret"),
        "exit": SystemExit("secret"),
    }
    kind = how.partition("-")[2]
    if kind == "response":
        return HttpResponse("no teapot", status=418, headers={"X-Own": "yes"})
    raise failures[kind]


@websocket
def negotiate(request: Any, websocket: Any) -> None:
    websocket.accept(subprotocol=websocket.subprotocols[-1], headers={"X-Own": "yes"})
    websocket.send_json({"chosen": websocket.subprotocol, "path": websocket.path})
    websocket.close(4000, "enough")


@websocket
def where(request: Any, websocket: Any) -> None:
    """Tell in what a view runs."""
    is_thread = threading.current_thread().name == "ws4redis-view"
    websocket.send("thread" if is_thread else "greenlet")


@websocket
def nothing(request: Any, websocket: Any) -> None:
    """End without a word."""


urlpatterns = [
    path("chat/", chat, name="chat"),
    path("old-chat/", old_chat),
    path("echo/", echo, name="echo"),
    path("ping/", ping),
    path("greet/", greet),
    path("permitted/", permitted),
    path("upper/", Upper.as_view()),
    path("repeat/<int:times>/", repeat, name="repeat"),
    path("negotiate/", negotiate),
    path("nothing/", nothing),
    # A page has this address, too.
    path("address", echo),
    path("where/", where),
    re_path(r"^fail/(?P<how>[\w-]+)/$", fail),
    path("inner/", include(([path("echo/", echo, name="echo")], "inner"))),
]
