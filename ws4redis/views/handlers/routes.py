"""Finds the handlers of all apps, and where they are served."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, URLResolver, include, path
from django.utils.module_loading import module_has_submodule

from ws4redis.conf import appends_slash, get_settings
from ws4redis.views.handlers.decorators import is_handler

MODULE = "websockets"
"""Where an app has its handlers."""
LISTS = ("handlerconf", "handlersconf")
"""What the list of their names may be called there."""


class WrongHandlers(ImproperlyConfigured):
    """A module of handlers lists what is none, or does not list them."""


def urlpatterns() -> list[URLPattern | URLResolver]:
    """Return what leads to the handlers of all installed apps, for a URLconf of websockets.

    The names of the URLs are those of the handlers, in the namespace of their app's label.

    Raises:
        WrongHandlers: A list names what is no handler, or handlers have no list.
        Exception: Whatever importing an app's handlers has raised.
    """
    found = ((config.label, list(_patterns(config))) for config in apps.get_app_configs())
    return [path("", include((patterns, label))) for label, patterns in found if patterns]


def clean(route: str, prefix: str, append_slash: bool) -> str:
    """Return the path of a route below a prefix: it begins with a slash, and may end with one."""
    parts = [part for part in (prefix.strip("/"), route.removeprefix("/")) if part]
    cleaned = "/" + "/".join(parts)
    return cleaned if not append_slash or cleaned.endswith("/") else f"{cleaned}/"


def _patterns(config: AppConfig) -> Iterator[URLPattern]:
    prefix, append_slash = get_settings().handler_prefix, appends_slash()
    if config.module is None or not module_has_submodule(config.module, MODULE):
        return
    module = import_module(f"{config.name}.{MODULE}")
    for name in _names(module):
        handler: Any = getattr(module, name, None) if isinstance(name, str) else None
        if not is_handler(handler):
            raise WrongHandlers(
                f"{module.__name__} lists {name!r}, which is no handler there: it must be the name "
                "of a function with @websocket or @websocket_pubsub of ws4redis.views.handlers."
            )
        route = clean(handler.route, prefix, append_slash)
        yield path(route.removeprefix("/"), handler, name=name)


def _names(module: ModuleType) -> list[Any]:
    lists = [getattr(module, one) for one in LISTS if hasattr(module, one)]
    for listed in lists:
        if not isinstance(listed, (list, tuple)):
            raise WrongHandlers(f"{module.__name__}: {listed!r} must be a list of names.")
    if not lists and (forgotten := _handlers(module)):
        raise WrongHandlers(
            f"{module.__name__} has handlers, but no list of those to serve: write "
            f"{LISTS[0]} = {forgotten!r}."
        )
    return [name for listed in lists for name in listed]


def _handlers(module: ModuleType) -> list[str]:
    """Return the names of the handlers that a module has defined itself."""
    return [
        name
        for name, value in vars(module).items()
        if is_handler(value) and value.__module__ == module.__name__
    ]
