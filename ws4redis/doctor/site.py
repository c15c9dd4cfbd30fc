"""The settings of the site, as Django's system checks see them."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings as django_settings
from django.core.checks import ERROR, CheckMessage
from django.utils.http import is_same_domain

from ws4redis import checks
from ws4redis.access import allowed_hosts, is_allowed_host
from ws4redis.doctor.client import Target
from ws4redis.doctor.report import Finding, Level

NAME = "settings"


def look() -> Iterator[Finding]:
    """Yield what the system checks of ws4redis say."""
    messages = [*checks.check_settings(), *checks.check_project()]
    if not django_settings.DEBUG:
        messages += checks.check_deployment()
    messages = [message for message in messages if not message.is_silenced()]
    yield from (_finding(message) for message in messages)
    if not messages:
        yield Finding(NAME, Level.OK, "All settings of ws4redis are good.")


def look_at(target: Target) -> Iterator[Finding]:
    """Yield what of the settings does not fit the address of the site."""
    yield from _host(target.host)
    yield from _cookie(target)


def _host(host: str) -> Iterator[Finding]:
    if not is_allowed_host(host, allowed_hosts()):
        yield Finding(
            "host",
            Level.WARNING,
            f"Django answers no page of {host!r}: it is not in ALLOWED_HOSTS.",
            "Add it, or look at the host that your pages have.",
        )


def _cookie(target: Target) -> Iterator[Finding]:
    """Yield why browsers send no session cookie to the address."""
    path, domain = django_settings.SESSION_COOKIE_PATH, django_settings.SESSION_COOKIE_DOMAIN
    if not f"{target.path}/".startswith(f"{path.rstrip('/')}/"):
        yield _no_cookie(f"it is for the path {path} only", "Set SESSION_COOKIE_PATH = '/'.")
    if domain and not is_same_domain(target.host, f".{domain.lstrip('.')}"):
        yield _no_cookie(f"it is for the domain {domain} only", "Look at SESSION_COOKIE_DOMAIN.")
    if django_settings.SESSION_COOKIE_SECURE and not target.secure:
        yield _no_cookie("SESSION_COOKIE_SECURE wants TLS", "Check the https:// address.")


def _no_cookie(reason: str, hint: str) -> Finding:
    message = f"Browsers send no session cookie to this address: {reason}."
    return Finding("cookie", Level.WARNING, message, hint)


def _finding(message: CheckMessage) -> Finding:
    level = Level.PROBLEM if message.level >= ERROR else Level.WARNING
    return Finding(NAME, level, f"{message.msg} ({message.id})", message.hint or "")
