"""System checks: what is wrong with the settings, and what will not work as one might expect.

* ``ws4redis.E001`` – a ``WS4REDIS_`` setting that does not exist; ``E002`` to ``E046`` – a wrong
  value, one id for each setting (see the reference of settings).
* ``ws4redis.E047`` – ``WEBSOCKET_URLCONF`` can't be imported, or has no ``urlpatterns``. What
  Django's own checks say of URLs, they say of its ``urlpatterns``, too.
* ``ws4redis.E048`` – ``WS4REDIS_TOKEN_AUTH`` names the method of Django REST framework, whose app
  ``rest_framework.authtoken`` is not installed.
* ``ws4redis.W001`` – the ``runserver`` command of another app wins.
* ``ws4redis.W002`` – sessions in signed cookies: the session audience addresses nobody.
* ``ws4redis.W003`` – deployment: every client may read and write every channel.
* ``ws4redis.W004`` – ``WEBSOCKET_URL`` lies where static or uploaded files are served.
* ``ws4redis.W005`` – the subscriber needs a thread and a link to Redis for each websocket.
* ``ws4redis.W006`` – no channel has a history, so ``PositionsMiddleware`` does nothing.
* ``ws4redis.W007`` – a websocket view takes the addresses of all facilities.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.core.checks.urls import check_resolver
from django.core.exceptions import ImproperlyConfigured
from django.urls import Resolver404, URLResolver, get_resolver

from ws4redis import conf
from ws4redis.subscriber import RedisSubscriber

_OLD_NAMES = {"WS4REDIS_STORE": "WS4REDIS_SUBSCRIBER"}
_STATICFILES = "django.contrib.staticfiles"
_AUTHTOKEN = "rest_framework.authtoken"
_RUNSERVER = "ws4redis.django_runserver.application"


def check_settings(**_: Any) -> list[CheckMessage]:
    """Name every setting that is unknown or has a wrong value."""
    return [
        Error(message, hint=_hint(message.partition(" ")[0]), id=identifier)
        for identifier, message in conf.find_problems(conf.read_values())
    ]


def check_project(**_: Any) -> list[CheckMessage]:
    """Name what in the project keeps a part of ws4redis from working."""
    return [
        *_runserver(),
        *_sessions(),
        *_addresses(),
        *_subscriber(),
        *_positions(),
        *_tokens(),
        *_views(),
    ]


def check_deployment(**_: Any) -> list[CheckMessage]:
    """Name what is fine while one develops, and dangerous on the internet."""
    if conf.read_values().get("WS4REDIS_ALLOWED_CHANNELS") is not None:
        return []
    return [
        CheckWarning(
            "Every client may subscribe to and publish on every channel.",
            hint="Set WS4REDIS_ALLOWED_CHANNELS to a function that says who may do what, such as "
            "'ws4redis.policies.subscribe_only'.",
            id="ws4redis.W003",
        )
    ]


def _hint(name: str) -> str | None:
    if name in _OLD_NAMES:
        return f"It is called {_OLD_NAMES[name]} today."
    known = [conf.django_name(item) for item in conf.all_fields()]
    if name in known:
        return None
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]}?" if close else None


def _runserver() -> Iterator[CheckMessage]:
    names = [config.name for config in apps.get_app_configs()]
    if _STATICFILES not in names or names.index("ws4redis") < names.index(_STATICFILES):
        return
    if django_settings.WSGI_APPLICATION != _RUNSERVER:
        yield CheckWarning(
            f"'ws4redis' stands behind {_STATICFILES!r} in INSTALLED_APPS, so 'manage.py "
            "runserver' holds no websockets.",
            hint=f"Move it up, or set WSGI_APPLICATION = {_RUNSERVER!r}.",
            id="ws4redis.W001",
        )


def _sessions() -> Iterator[CheckMessage]:
    if django_settings.SESSION_ENGINE == "django.contrib.sessions.backends.signed_cookies":
        yield CheckWarning(
            "Sessions in signed cookies have no lasting key, so the session audience addresses "
            "nobody.",
            hint="Choose another SESSION_ENGINE if you use subscribe-session.",
            id="ws4redis.W002",
        )


def _addresses() -> Iterator[CheckMessage]:
    address = conf.read_values().get("WEBSOCKET_URL", "/ws/")
    for name in ("STATIC_URL", "MEDIA_URL"):
        other = getattr(django_settings, name, None) or ""
        # An empty or relative MEDIA_URL reads as "/" and serves nothing.
        if len(other) > 1 and str(address).startswith(other):
            yield CheckWarning(
                f"WEBSOCKET_URL {address!r} lies below {name} {other!r}.",
                hint="Give websockets a path of their own, such as '/ws/'.",
                id="ws4redis.W004",
            )


def _subscriber() -> Iterator[CheckMessage]:
    subscriber = conf.read_values().get("WS4REDIS_SUBSCRIBER")
    if subscriber is None or conf.imported_class(subscriber) is None:
        return
    own = conf.imported_class(subscriber)
    for name in ("get_file_descriptor", "parse_response"):
        if getattr(own, name, None) is not getattr(RedisSubscriber, name):
            yield CheckWarning(
                f"WS4REDIS_SUBSCRIBER overrides {name}(), so each websocket takes a thread and a "
                "link to Redis of its own.",
                hint="Override set_pubsub_channels() or send_persisted_messages() instead.",
                id="ws4redis.W005",
            )


def _positions() -> Iterator[CheckMessage]:
    name = "ws4redis.middleware.PositionsMiddleware"
    if name in django_settings.MIDDLEWARE and not conf.read_values().get("WS4REDIS_HISTORY"):
        yield CheckWarning(
            f"{name!r} does nothing, as no channel has a history.",
            hint="Name the facilities of your pages in WS4REDIS_HISTORY.",
            id="ws4redis.W006",
        )


def _tokens() -> Iterator[CheckMessage]:
    methods = conf.read_values().get("WS4REDIS_TOKEN_AUTH")
    for method in methods if isinstance(methods, (list, tuple)) else [methods]:
        # A function knows its module, and a text begins with it.
        where = str(getattr(method, "__module__", method))
        if where.startswith("ws4redis.tokens.rest_framework") and not apps.is_installed(_AUTHTOKEN):
            yield Error(
                "WS4REDIS_TOKEN_AUTH takes the tokens of Django REST framework, but "
                f"{_AUTHTOKEN!r}, which keeps them, is not in INSTALLED_APPS.",
                hint=f"Add {_AUTHTOKEN!r} to INSTALLED_APPS, and run 'manage.py migrate'.",
                id="ws4redis.E048",
            )


def _views() -> Iterator[CheckMessage]:
    urlconf = conf.read_values().get("WEBSOCKET_URLCONF")
    if not urlconf or not isinstance(urlconf, str):
        return
    resolver = get_resolver(urlconf)
    try:
        yield from check_resolver(resolver)
        yield from _shadowed(resolver)
    except (ImportError, ImproperlyConfigured) as error:
        if isinstance(error, ImportError) and not _lies_above(error.name, urlconf):
            # It is there, but something that it needs is not: its traceback tells the place.
            raise
        yield Error(
            f"WEBSOCKET_URLCONF {urlconf!r} can't be used: {error}",
            hint="Name a module with urlpatterns, such as 'mysite.websocket_urls'.",
            id="ws4redis.E047",
        )


def _lies_above(name: str | None, module: str) -> bool:
    """Return whether a name is that of a module or of a package around it."""
    return f"{module}.".startswith(f"{name}.")


def _shadowed(resolver: URLResolver) -> Iterator[CheckMessage]:
    address = str(conf.read_values().get("WEBSOCKET_URL", "/ws/"))
    try:
        match = resolver.resolve(f"{address}any-facility")
    except Resolver404:
        return
    yield CheckWarning(
        f"The websocket view of {match.route!r} takes the addresses of facilities, which are below "
        f"WEBSOCKET_URL {address!r}.",
        hint="Give one of them another path, unless you use views only.",
        id="ws4redis.W007",
    )
