"""``manage.py runserver`` with websockets."""

from __future__ import annotations

from typing import Any

from django.apps import apps

from ws4redis.wsgi import get_application

if apps.is_installed("django.contrib.staticfiles"):
    from django.contrib.staticfiles.management.commands.runserver import Command as Runserver
else:
    from django.core.management.commands.runserver import (  # type: ignore[assignment]
        Command as Runserver,
    )


class Command(Runserver):
    """Django's development server, which also holds websockets."""

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """Return the application of the development server, with websockets in front of it."""
        return get_application(super().get_handler(*args, **options))
