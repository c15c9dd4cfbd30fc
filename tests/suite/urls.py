"""Websocket views of a site that tests them."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from itertools import count
from select import select
from threading import Event
from typing import Any

from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.http import Http404, HttpResponse
from django.urls import path

from tests.suite import example_urls
from ws4redis.publisher import RedisPublisher
from ws4redis.views import websocket
from ws4redis.views.samples import echo, ping


@websocket
def poll(request: Any, websocket: Any) -> None:
    """Take what is there without waiting for it."""
    taken = []
    while len(taken) < 2:
        try:
            taken.append(websocket.receive(timeout=0))
        except TimeoutError:
            continue
    websocket.send(" ".join(taken))


@websocket
def fail(request: Any, websocket: Any, when: str) -> None:
    if when.endswith("told"):
        websocket.subscribe("GO")
    if when != "early":
        websocket.receive()
    raise ValueError(f"of the view {when}")


@websocket
def flood(request: Any, websocket: Any, size: int) -> None:
    """Send for ever; note the end in the database."""
    try:
        for number in count():
            websocket.send(f"{number} " + "x" * size)
    finally:
        Group.objects.create(name=f"after {number}, {websocket.close_code}")


@websocket
def leave(request: Any, websocket: Any) -> None:
    sys.exit("of the view")


@websocket
def undo(request: Any, websocket: Any) -> None:
    """Fail in a transaction, at the end."""
    with transaction.atomic():
        Group.objects.create(name="undone")
        websocket.receive()
        raise ValueError("of the view at-end")


@websocket
def deny(request: Any, websocket: Any) -> None:
    raise Http404("no such room")


@websocket
def members(request: Any, websocket: Any) -> HttpResponse:
    return HttpResponse("For members.", status=403)


@websocket
def negotiate(request: Any, websocket: Any) -> None:
    websocket.accept(subprotocol=websocket.subprotocols[-1], headers={"X-Own": "yes"})
    websocket.send(request.headers["X-Asked"] + " " + websocket.origin)
    websocket.close(4000, "enough")


@websocket
def announce(request: Any, websocket: Any) -> None:
    """Publish what it receives on a facility."""
    publisher = RedisPublisher(facility="news", broadcast=True)
    for data in websocket:
        publisher.publish_message({"text": data}, on_commit=data.startswith("later"))
        websocket.send("done")


ENOUGH = Event()


@websocket
def lasting(request: Any, websocket: Any) -> None:
    """Go on after the websocket has ended."""
    websocket.send("begun")
    ENOUGH.wait()


@websocket
def lengths(request: Any, websocket: Any) -> None:
    """Tell how long the messages of a channel are."""
    websocket.subscribe("BIG")
    for data in websocket:
        websocket.send(str(len(data)))


@websocket
def farewell(request: Any, websocket: Any) -> None:
    """Note the end in the database."""
    try:
        websocket.receive()
    finally:
        Group.objects.create(name=f"closed with {websocket.close_code}")


@websocket
def depths(request: Any, websocket: Any, depth: int) -> None:
    """Wait inside of transactions for each message, with a new group."""
    with ExitStack() as blocks:
        for level in range(depth):
            blocks.enter_context(transaction.atomic())
            Group.objects.create(name=f"{level} of {depth}")
        websocket.send("in")
        while websocket.receive() is not None:
            Group.objects.create(name="received")


@websocket
def inside(request: Any, websocket: Any) -> None:
    """Tell whether it runs inside of a transaction."""
    websocket.send_json(connection.in_atomic_block)


@websocket
def selecting(request: Any, websocket: Any) -> None:
    select([websocket], [], [])


urlpatterns = [
    *example_urls.urlpatterns,
    path("announce/", announce),
    path("deny/", deny),
    path("depths/<int:depth>/", depths),
    path("echo/", echo),
    path("fail/<when>/", fail),
    path("farewell/", farewell),
    path("flood/<int:size>/", flood),
    path("inside/", inside),
    path("lasting/", lasting),
    path("leave/", leave),
    path("lengths/", lengths),
    path("members/", members),
    path("negotiate/", negotiate),
    path("ping/", ping),
    path("poll/", poll),
    path("selecting/", selecting),
    path("undo/", undo),
]
