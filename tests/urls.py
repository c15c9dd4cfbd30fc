"""URLs of the test project."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path

from ws4redis.context_processors import default
from ws4redis.exceptions import BusError
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


urlpatterns = [path("", page), path("address", address), path("publish/<facility>", publish)]
