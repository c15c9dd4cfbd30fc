"""Websocket views that misbehave, for tests of what that harms."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.signals import got_request_exception, request_finished, request_started
from django.db import connection, connections
from django.http import HttpResponse, JsonResponse
from django.urls import path

from ws4redis.exceptions import ConnectionClosed
from ws4redis.views import websocket, websocket_loop
from ws4redis.views.samples import echo

noted: list[str] = []
"""What views saw, and signals that were sent, in this process."""
released = threading.Event()
"""Lets views go on that wait for nothing else."""


def _note(name: str) -> Any:
    def note(**details: Any) -> None:
        noted.append(name)

    return note


_receivers = [
    (signal, _note(name))
    for signal, name in (
        (request_started, "started"),
        (request_finished, "finished"),
        (got_request_exception, "failed"),
    )
]
for _signal, _receiver in _receivers:
    _signal.connect(_receiver)


def tell(request: Any) -> Any:
    """Answer with what was noted, and forget it."""
    told, noted[:] = list(noted), []
    open_ones = [one.alias for one in connections.all() if one.connection is not None]
    return JsonResponse({"noted": told, "open": open_ones})


def release(request: Any) -> Any:
    """Let all views go on that wait."""
    released.set()
    return JsonResponse({})


@websocket
def deaf(request: Any, websocket: Any) -> None:
    """Receive nothing until it is told to; then count what came."""
    websocket.accept()
    released.wait()
    count = 0
    while (message := websocket.receive()) is not None and message != "end":
        count += 1
    websocket.send(str(count))


@websocket
def followed(request: Any, websocket: Any) -> None:
    """Fetch nothing of what a channel brings."""
    websocket.subscribe("unfetched")
    websocket.send("live")
    released.wait()


@websocket
def endless(request: Any, websocket: Any) -> None:
    """Go on though its websocket has ended."""
    websocket.send("here")
    released.wait()


@websocket
def late(request: Any, websocket: Any) -> None:
    """Decide when nobody waits any more."""
    released.wait()
    try:
        websocket.accept()
    except ConnectionClosed:
        noted.append("too late")
        raise


@websocket
def watched(request: Any, websocket: Any) -> None:
    """Use a descriptor, and fail."""
    number = websocket.fileno()
    websocket.send(str(number))
    if websocket.receive() == "fail":
        raise ValueError("as it was told")


@websocket
def shared(request: Any, websocket: Any) -> None:
    """Let four threads receive, and say what each got."""
    websocket.accept()

    def work() -> None:
        for message in websocket:
            websocket.send(message)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    noted.append("all threads ended")


@websocket
def senders(request: Any, websocket: Any) -> None:
    """Send from four threads at once."""
    websocket.accept()

    def work(name: int) -> None:
        for number in range(200):
            websocket.send(f"{name} {number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@websocket
def sluices(request: Any, websocket: Any, count: int, size: int) -> None:
    """Send far more than a client takes, from several threads."""
    websocket.accept()

    def work(name: int) -> None:
        for number in range(8):
            websocket.send(f"{name} {number} ".ljust(size, "x"))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@websocket
def beside(request: Any, websocket: Any) -> None:
    """Send from a thread, and receive beside it; either may be the first to use the websocket."""

    def push() -> None:
        for number in range(3):
            websocket.send(f"tick {number}")

    thread = threading.Thread(target=push)
    thread.start()
    for message in websocket:
        websocket.send(message)
    thread.join()


@websocket
def following(request: Any, websocket: Any) -> None:
    """Follow a channel with a history, and note that it got so far."""
    websocket.accept()
    try:
        websocket.subscribe("broadcast:kept")
        noted.append("subscribed")
        websocket.receive()
    finally:
        noted.append("left")


@websocket
def parting(request: Any, websocket: Any, name: str) -> None:
    """Clean up, which takes a while."""
    websocket.send("here")
    try:
        websocket.receive()
    finally:
        time.sleep(0.3)
        Path(os.environ["WS4REDIS_TEST_PARTING"], name).touch()


@websocket_loop
@login_required
def guarded(request: Any, websocket: Any) -> None:
    """Refuse from below what calls it again and again."""
    websocket.send(websocket.receive())


@websocket_loop
def idle(request: Any, websocket: Any) -> None:
    """Receive nothing, though it should."""


@websocket
def form(request: Any, websocket: Any) -> None:
    """Take objects of JSON only."""
    while (value := websocket.receive_json(kind=dict)) is not None:
        websocket.send_json(value)


@websocket
def wrong(request: Any, websocket: Any, what: str) -> Any:
    """Do what the tools don't take."""
    websocket.receive()
    mistakes = {
        "no-name": lambda: websocket.subscribe(""),
        "no-text": lambda: websocket.publish(None, "x"),
        "half": lambda: websocket.subscribe("\ud800"),
        "infinity": lambda: websocket.send_json(float("inf")),
        "closed": lambda: (websocket.close(), websocket.send("lost")),
        "text": lambda: "no response",
    }
    return mistakes[what]()


def waiting(request: Any) -> Any:
    """Be asynchronous, though nobody sees it before it is called."""

    async def view() -> None:
        """Be no view for a websocket."""

    return view()


@websocket
def halves(request: Any, websocket: Any) -> None:
    """Repeat JSON."""
    websocket.subscribe("halves")
    for event in websocket.events():
        if event.channel is None:
            websocket.publish("halves", event.json())
        else:
            websocket.send_json(event.json())


@websocket
def handshake(request: Any, websocket: Any, what: str) -> Any:
    """Answer what is not for views to answer."""
    if what == "switching":
        return HttpResponse(status=101)
    websocket.accept(headers={"sec-WebSocket-Accept": "x"})
    return None


@websocket
def reasonless(request: Any, websocket: Any) -> None:
    """Give no reason."""
    websocket.accept()
    websocket.close(4000, None)


@websocket
def pour(request: Any, websocket: Any, count: int) -> None:
    """Send far more than a client takes."""
    try:
        for number in range(count):
            websocket.send(f"{number} ".ljust(10_000, "x"))
    except ConnectionClosed:
        noted.append("the client is gone")
        raise


@websocket
def afterwards(request: Any, websocket: Any) -> None:
    """Send after the end."""
    websocket.send("first")
    websocket.close(4000, "enough")
    # It is closed by the loop, which may be another thread.
    deadline = time.monotonic() + 10
    while not websocket.closed and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        websocket.send("second")
    except ConnectionClosed:
        noted.append("refused")
    websocket.close()
    noted.append(str(websocket.receive()))


@websocket
def asking(request: Any, websocket: Any) -> None:
    """Ask the database for each message."""
    for _ in websocket:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
        websocket.send("in a block" if connection.in_atomic_block else "asked")


@websocket
def locked(request: Any, websocket: Any) -> None:
    """Wait for a lock of the database."""
    websocket.send("asking")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(1)")
    websocket.send("locked")


urlpatterns = [
    path("echo/", echo),
    path("tell/", tell),
    path("release/", release),
    path("deaf/", deaf),
    path("followed/", followed),
    path("endless/", endless),
    path("late/", late),
    path("watched/", watched),
    path("shared/", shared),
    path("senders/", senders),
    path("pour/<int:count>/", pour),
    path("sluices/<int:count>/<int:size>/", sluices),
    path("beside/", beside),
    path("following/", following),
    path("parting/<str:name>/", parting),
    path("guarded/", guarded),
    path("idle/", idle),
    path("form/", form),
    path("reasonless/", reasonless),
    path("wrong/<str:what>/", wrong),
    path("waiting/", waiting),
    path("halves/", halves),
    path("handshake/<str:what>/", handshake),
    path("afterwards/", afterwards),
    path("asking/", asking),
    path("locked/", locked),
]
