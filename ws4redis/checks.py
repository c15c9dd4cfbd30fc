"""System checks: what is wrong with the settings, and what will not work as one might expect.

* ``ws4redis.E001`` – a ``WS4REDIS_`` setting that does not exist; ``E002`` to ``E046`` – a wrong
  value, one id for each setting (see the reference of settings).
* ``ws4redis.E047`` – ``WEBSOCKET_URLCONF`` can't be imported, or has no ``urlpatterns``. What
  Django's own checks say of URLs, they say of its ``urlpatterns``, too.
* ``ws4redis.E048`` – ``WS4REDIS_TOKEN_AUTH`` names the method of Django REST framework, whose app
  ``rest_framework.authtoken`` is not installed.
* ``ws4redis.E049`` – by ``WS4REDIS_JWT``, no token can be read, or no user found.
* ``ws4redis.E050`` – a websocket view is asynchronous.
* ``ws4redis.E051`` – an app's handlers are not listed, or what it lists is none.
* ``ws4redis.W001`` – the ``runserver`` command of another app wins.
* ``ws4redis.W002`` – sessions in signed cookies: the session audience addresses nobody.
* ``ws4redis.W003`` – deployment: every client may read and write every channel.
* ``ws4redis.W004`` – ``WEBSOCKET_URL`` lies where static or uploaded files are served.
* ``ws4redis.W005`` – the subscriber needs a thread and a link to Redis for each websocket.
* ``ws4redis.W006`` – no channel has a history, so ``PositionsMiddleware`` does nothing.
* ``ws4redis.W007`` – a websocket view takes the addresses of all facilities.
* ``ws4redis.W008`` – a setting has almost the name of one of ws4redis.
* ``ws4redis.W009`` – tokens find their users by a field of which several may have the same value.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.core.checks.urls import check_resolver
from django.core.exceptions import (
    FieldDoesNotExist,
    FieldError,
    ImproperlyConfigured,
    ValidationError,
)
from django.urls import Resolver404, URLResolver, get_resolver

from ws4redis import conf
from ws4redis.subscriber import RedisSubscriber
from ws4redis.views.handlers.routes import WrongHandlers

_OLD_NAMES = {"WS4REDIS_STORE": "WS4REDIS_SUBSCRIBER"}
_STATICFILES = "django.contrib.staticfiles"
_AUTHTOKEN = "rest_framework.authtoken"
_JWT = "ws4redis.tokens.jwt"
_ALIKE = 0.9
"""How alike names are if it is a slip of the pen: 1 is the same."""
_RUNSERVER = "ws4redis.django_runserver.application"


def check_settings(**_: Any) -> list[CheckMessage]:
    """Name every setting that is unknown or has a wrong value."""
    return [*_wrong_values(), *_misspelt()]


def _wrong_values() -> list[CheckMessage]:
    return [
        Error(message, hint=_hint(message.partition(" ")[0]), id=identifier)
        for identifier, message in conf.find_problems(conf.read_values())
    ]


def check_project(**_: Any) -> list[CheckMessage]:
    """Name what in the project keeps a part of ws4redis from working."""
    found = [
        *_runserver(),
        *_sessions(),
        *_addresses(),
        *_subscriber(),
        *_positions(),
        *_tokens(),
    ]
    # These need the values, of which check_settings() tells what is wrong.
    return found if _wrong_values() else [*found, *_jwt(), *_views()]


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
    if name in _known():
        return None
    close = difflib.get_close_matches(name, _known(), n=1)
    return f"Did you mean {close[0]}?" if close else None


def _known() -> list[str]:
    return [conf.django_name(item) for item in conf.all_fields()]


def _misspelt() -> Iterator[CheckMessage]:
    """Name what begins otherwise than the settings of ws4redis, and is one but for a letter."""
    known, there = _known(), dir(django_settings)
    # Others may have names like these beside them.
    missing = [name for name in known if name not in there]
    for name in there:
        if not name.startswith("WS") and not name.startswith("WEBSOCKET"):
            continue
        if name in known or name.startswith(conf.PREFIX):
            continue
        if close := difflib.get_close_matches(name, missing, n=1, cutoff=_ALIKE):
            yield CheckWarning(
                f"{name} is no setting of ws4redis.",
                hint=f"Did you mean {close[0]}?",
                id="ws4redis.W008",
            )


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
    if _takes("ws4redis.tokens.rest_framework") and not apps.is_installed(_AUTHTOKEN):
        yield Error(
            "WS4REDIS_TOKEN_AUTH takes the tokens of Django REST framework, but "
            f"{_AUTHTOKEN!r}, which keeps them, is not in INSTALLED_APPS.",
            hint=f"Add {_AUTHTOKEN!r} to INSTALLED_APPS, and run 'manage.py migrate'.",
            id="ws4redis.E048",
        )


def _takes(module: str) -> bool:
    """Return whether a method of tokens is that of a module."""
    methods = conf.read_values().get("WS4REDIS_TOKEN_AUTH")
    listed = methods if isinstance(methods, (list, tuple)) else [methods]
    # A function knows its module, and a text begins with it.
    return any(str(getattr(one, "__module__", one)).startswith(module) for one in listed)


def _jwt() -> Iterator[CheckMessage]:
    if not _takes(_JWT):
        return
    options = conf.jwt_options()
    for name in options["algorithms"]:
        if wrong := _unreadable(name, options["key"]):
            yield Error(f"WS4REDIS_JWT: {wrong}", id="ws4redis.E049")
    yield from _user_field(options["field"])


def _unreadable(algorithm: str, key: Any) -> str | None:
    """Return why no token of an algorithm can be read; never with the key."""
    from jwt import PyJWS, PyJWTError  # an extra

    try:
        PyJWS().get_algorithm_by_name(algorithm).prepare_key(key)
    except NotImplementedError:
        return f"{algorithm!r} is unknown to PyJWT, or needs the package cryptography."
    except (PyJWTError, TypeError, ValueError) as error:
        return f"the key is none of {algorithm!r} ({type(error).__name__})."
    return None


def _user_field(name: str) -> Iterator[CheckMessage]:
    try:
        model = get_user_model()
    except ImproperlyConfigured as error:
        yield Error(f"WS4REDIS_JWT finds no users: {error}", id="ws4redis.E049")
        return
    try:
        model._default_manager.filter(**{name: ""})
    except FieldError:
        yield Error(
            f"WS4REDIS_JWT: {model.__name__}, the model of users, has no 'field' {name!r}.",
            id="ws4redis.E049",
        )
        return
    except (TypeError, ValueError, ValidationError):
        # It is there, but no text.
        pass
    if not _is_unique(model, name):
        yield CheckWarning(
            f"WS4REDIS_JWT: several users may have the same {name!r}. A token that fits more than "
            "one is nobody's.",
            hint="Choose a 'field' that is unique, or make it so.",
            id="ws4redis.W009",
        )


def _is_unique(model: Any, name: str) -> bool:
    if name == "pk":
        return True
    first, _, rest = name.partition("__")
    try:
        field = model._meta.get_field(first)
    except FieldDoesNotExist:
        return False
    if rest:
        # It leads to another model, or is a lookup such as iexact.
        return bool(field.one_to_one) and _is_unique(field.related_model, rest)
    constraints = [one.fields for one in model._meta.total_unique_constraints]
    return getattr(field, "unique", False) or (first,) in constraints


def _views() -> Iterator[CheckMessage]:
    urlconf = conf.read_values().get("WEBSOCKET_URLCONF")
    if not urlconf or not isinstance(urlconf, str):
        return
    resolver = get_resolver(urlconf)
    try:
        found = list(check_resolver(resolver))
        yield from found
        if not any(message.is_serious() for message in found):
            yield from _shadowed(resolver)
            yield from _asynchronous(resolver)
    except WrongHandlers as error:
        yield Error(str(error), id="ws4redis.E051")
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


def _asynchronous(resolver: URLResolver) -> Iterator[CheckMessage]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _asynchronous(pattern)
        elif _is_async(pattern.callback):
            yield Error(
                f"The websocket view of {str(pattern.pattern)!r} is asynchronous, and can't hold a "
                "websocket.",
                hint="Write it with def: it has a thread or greenlet of its own, and may wait.",
                id="ws4redis.E050",
            )


def _is_async(view: Any) -> bool:
    # Decorators, such as @websocket, may have made another function of it.
    return iscoroutinefunction(view) or iscoroutinefunction(inspect.unwrap(view))
