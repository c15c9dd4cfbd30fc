"""The handlers of the documents, and some that do what they should not."""

from __future__ import annotations

import json

from ws4redis.views.handlers import MsgType, websocket, websocket_pubsub


@websocket("/echo")
def echo(ws, params, **kwargs):
    message = yield from ws.receive()
    ws.send_str(message.data)


@websocket("plain")
def plain(ws, params):
    while (message := ws.receive()).tp is not MsgType.close:
        if message.tp is MsgType.binary:
            ws.send_bytes(message.data)
        else:
            ws.send_str(f"{params.get('who')}: {message.data}")


@websocket_pubsub("/messages", authenticate=True)
def message_pusher(ws, params, manager, user, **kwargs):
    reader = manager.reader(params["channel"])

    @reader.callback
    def callback(channel_name, message):
        ws.send_str(json.dumps({channel_name: {"reader": user.username, "body": message}}))
        return True

    listener = yield from reader.listen()
    yield from listener


@websocket_pubsub("/subscriptions")
def subscriptions(ws, params, manager):
    def callback(channel_name, message):
        if message == "fail":
            raise ValueError("a callback that fails")
        if message == "receive":
            ws.receive()
        ws.send_str(f"{channel_name}: {message}")
        return message != "last"

    while True:
        message = yield from ws.receive()
        if message.tp in (MsgType.error, MsgType.close):
            break
        asked = json.loads(message.data)
        yield from change(manager, callback, **asked)
        ws.send_str(f"{asked['action']}: {' '.join(sorted(manager.readers))}")


def change(manager, callback, action, channel):
    if action == "unsubscribe":
        reader = manager.readers[channel]
        yield from manager.remove(reader)
    elif action == "subscribe":
        manager.subscribe(channel, callback)
    elif action == "stop":
        manager.stop()


@websocket("/rooms/<int:room>")
def room(ws, params, room):
    ws.send_str(f"room {room}")


@websocket("/fails")
def fails(ws, params):
    yield from ws.receive()
    raise RuntimeError("a handler that fails")


@websocket("/yields")
def yields(ws, params):
    yield ws.receive()


handlerconf = [
    "echo",
    "plain",
    "message_pusher",
    "subscriptions",
    "room",
    "fails",
    "yields",
]
