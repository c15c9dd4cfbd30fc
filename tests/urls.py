"""URLs of the test project."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("an ordinary page")


urlpatterns = [path("", page)]
