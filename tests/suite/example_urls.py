"""The websocket views of docs/howto/testing.md."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import Group
from django.urls import path

from ws4redis.views import websocket


@login_required
@websocket
def rooms(request, websocket):
    """Create groups, and tell how many there are."""
    for name in websocket:
        Group.objects.create(name=name)
        websocket.send_json({"by": request.user.username, "count": Group.objects.count()})


@websocket
def chat(request, websocket):
    """Relay what each client says to all of them."""
    websocket.subscribe("CHAT")
    for channel, data in websocket.events():
        if channel is None:
            websocket.publish("CHAT", data)
        else:
            websocket.send(data)


@websocket
def clock(request, websocket):
    """Say something every minute."""
    minutes = 0
    while not websocket.closed:
        try:
            websocket.receive(timeout=60)
        except TimeoutError:
            minutes += 1
            websocket.send(f"{minutes} min")


urlpatterns = [
    path("rooms/", rooms),
    path("chat/", chat),
    path("clock/", clock),
]
