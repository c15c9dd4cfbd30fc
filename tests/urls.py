"""URLs of the test project."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path

from ws4redis.context_processors import default


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("an ordinary page")


def address(request: HttpRequest) -> HttpResponse:
    """Show what a template gets for its websockets."""
    return HttpResponse(default(request)["WEBSOCKET_URI"])


urlpatterns = [path("", page), path("address", address)]
