"""The settings of the site, as Django's system checks see them."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings as django_settings
from django.core.checks import ERROR, CheckMessage

from ws4redis import checks
from ws4redis.doctor.report import Finding, Level

NAME = "settings"


def look() -> Iterator[Finding]:
    """Yield what the system checks of ws4redis say."""
    messages = [*checks.check_settings(), *checks.check_project()]
    if not django_settings.DEBUG:
        messages += checks.check_deployment()
    yield from (_finding(message) for message in messages)
    if not messages:
        yield Finding(NAME, Level.OK, "All settings of ws4redis are good.")


def _finding(message: CheckMessage) -> Finding:
    level = Level.PROBLEM if message.level >= ERROR else Level.WARNING
    return Finding(NAME, level, f"{message.msg} ({message.id})", message.hint or "")
