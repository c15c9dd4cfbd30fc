"""URLs of the test project."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
