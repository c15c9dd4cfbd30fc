from __future__ import annotations

import os
from select import select

import redis
from django.contrib.auth.decorators import login_required
from django.urls import path

from ws4redis.views import WebSocketView, websocket, websocket_loop


@websocket
def echo(request, websocket):
    for message in websocket:
        websocket.send(message)


@login_required
@websocket
def private(request, websocket):
    websocket.send("hello " + request.user.username)


@websocket_loop
def ping(request, websocket):
    data = websocket.receive()
    if data == "ping":
        websocket.send("pong")


class Klass(WebSocketView):
    def on_open(self):
        self.websocket.accept()

    def on_message(self, m):
        self.websocket.send(m.upper())


@websocket
def chat(request, websocket, *args, **kwargs):
    conn = redis.StrictRedis.from_url(os.environ["REDIS_URL"], decode_responses=True)
    subs = conn.pubsub()
    subs.subscribe("CHAT")

    def incoming():
        data = websocket.receive()
        if data:
            conn.publish("CHAT", data)

    def outgoing():
        msg_type, channel, message = subs.parse_response()
        if msg_type == "message":
            websocket.send(message)

    sockets = {
        websocket.handler.socket.fileno(): incoming,
        subs.connection._sock.fileno(): outgoing,
    }
    while not websocket.closed:
        fd = select(sockets.keys(), [], [])[0][0]
        sockets[fd]()


@websocket
def own(request, websocket):
    websocket.subscribe("NEWS")
    websocket.send("ready")
    for channel, data in websocket.events():
        if channel is None:
            websocket.publish("NEWS", data)
        else:
            websocket.send(f"{channel}: {data}")


@websocket
def boom(request, websocket):
    websocket.receive()
    raise ValueError("secret")


urlpatterns = [
    path("echo/", echo),
    path("private/", private),
    path("ping/", ping),
    path("klass/", Klass.as_view()),
    path("chat/", chat),
    path("own/", own),
    path("boom/", boom),
]
