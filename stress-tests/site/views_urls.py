"""The websocket view of the benchmark."""

from __future__ import annotations

from django.urls import path

from ws4redis.views.samples import echo

urlpatterns = [path("echo/", echo)]
