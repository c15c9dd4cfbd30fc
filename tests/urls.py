"""URLs of the test project."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from tests.waiting import wait_for
from ws4redis.context_processors import default
from ws4redis.exceptions import BusError
from ws4redis.page import options
from ws4redis.publisher import RedisPublisher


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("an ordinary page")


def address(request: HttpRequest) -> HttpResponse:
    """Show what a template gets for its websockets."""
    return HttpResponse(default(request)["WEBSOCKET_URI"])


def publish(request: HttpRequest, facility: str) -> HttpResponse:
    """Publish, and show what became of it."""
    try:
        count = RedisPublisher(facility=facility, broadcast=True).publish_message("from a view")
    except BusError as error:
        return HttpResponse(str(error), status=503)
    return HttpResponse(f"taken by {count}")


def history(request: HttpRequest, facility: str) -> HttpResponse:
    """Count the groups of that name, and hand over what a websocket needs to go on from there."""
    from django.contrib.auth.models import Group  # some sites of the tests have no users

    groups = Group.objects.filter(name__startswith=f"{facility}-")
    count = groups.count()
    if "linger" in request.GET:
        wait_for(lambda: groups.count() > count + 3)
    if "publish" in request.GET:
        RedisPublisher(facility=facility, broadcast=True).publish_message("between")
    flags = ["subscribe-broadcast", "subscribe-user"]
    return JsonResponse({"count": count, "socket": options(request, facility, flags)})


urlpatterns = [
    path("", page, name="page"),
    path("address", address),
    path("publish/<facility>", publish),
    path("room/", page),
    path("history/<path:facility>", history),
]
