"""The Django app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """Keeps messages for ``RedisStore``, which finds it by its label."""

    name = "ws4redis.outbox"
    label = "ws4redis_outbox"
    verbose_name = "Outbox of ws4redis"
    default_auto_field = "django.db.models.BigAutoField"

    def keep(self, send: Callable[[], object], using: str | None, **message: Any) -> None:
        """Write a message in the current transaction; send and delete it after the commit."""
        from ws4redis.outbox.delivery import keep

        keep(send, using, **message)
