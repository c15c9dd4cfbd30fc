"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.core.checks import register


class WS4RedisConfig(AppConfig):
    """Registers the system checks, and listens to what Django says of users."""

    name = "ws4redis"
    verbose_name = "Websockets for Redis"

    def ready(self) -> None:
        """Connect everything to Django."""
        from ws4redis import checks

        register(checks.check_settings)
        register(checks.check_project)
        register(checks.check_deployment, deploy=True)
        if apps.is_installed("django.contrib.auth"):
            from django.contrib.auth.signals import user_logged_in

            from ws4redis import changes
            from ws4redis.groups import remember_groups

            user_logged_in.connect(remember_groups, dispatch_uid="ws4redis.groups")
            changes.connect()
