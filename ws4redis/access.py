"""Who asks for a websocket, and which channels may that request read and write."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.apps import apps
from django.conf import settings as django_settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.handlers.wsgi import WSGIRequest
from django.http.request import validate_host
from django.utils.http import is_same_domain

from ws4redis.audiences import Unresolved, own_session, own_user
from ws4redis.conf import Settings, load_callable
from ws4redis.exceptions import HandshakeError
from ws4redis.subscriber import RedisSubscriber

logger = logging.getLogger(__name__)

_OWN = {"user": own_user, "group": own_user, "session": own_session}
_DEBUG_HOSTS = [".localhost", "127.0.0.1", "[::1]"]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a request gets."""

    subscriber: RedisSubscriber
    """Has its subscriptions and publications set."""
    flags: frozenset[str]
    """All flags of the address, such as ``'echo'``."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why some of the asked channels are not among the granted ones."""


def authorize(environ: dict[str, Any], settings: Settings, subscriber: RedisSubscriber) -> Grant:
    """Decide about a websocket request; may block, and run the site's own hooks.

    Args:
        environ: The WSGI environment of the request.
        settings: The settings of ws4redis.
        subscriber: Is told the channels that the request gets.

    Raises:
        HandshakeError: The request is refused.
    """
    # Django would read the address by the charset that a client names for a body there is not.
    request = WSGIRequest({**environ, "CONTENT_TYPE": ""})
    _check_origin(request, settings)
    try:
        _identify(request, settings)
        flags = frozenset(flag.strip().lower() for flag in request.GET)
        asked = _asked_channels(subscriber, flags)
        allowed = _narrow(request, asked, settings)
    except PermissionDenied as denied:
        # Its text was written by the site for this answer.
        raise HandshakeError(403, str(denied) or "Permission denied.") from denied
    except SuspiciousOperation as suspicious:
        raise HandshakeError(400, "The request is malformed.") from suspicious
    refused = dict.fromkeys((name for name in asked if name not in allowed), "not allowed")
    refused |= dict(_unresolved(request, allowed))
    _report(request, refused, settings)
    granted = [name for name in allowed if name not in refused]
    subscriber.set_pubsub_channels(request, granted)
    return Grant(subscriber, flags, refused)


def _check_origin(request: WSGIRequest, settings: Settings) -> None:
    origin = request.META.get("HTTP_ORIGIN")
    if origin is None or _is_good_origin(request, origin, settings):
        return
    logger.warning(
        "Refused a websocket for a page of %r; list it in WS4REDIS_ALLOWED_ORIGINS if it is yours",
        origin,
    )
    raise HandshakeError(403, "This origin may not open websockets here.")


def _is_good_origin(request: WSGIRequest, origin: str, settings: Settings) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if not parts.scheme or not parts.netloc:
        return False
    return _is_own_host(request, parts) or _is_trusted(parts, settings)


def _is_own_host(request: WSGIRequest, parts: SplitResult) -> bool:
    if parts.netloc.lower() == _host(request).lower():
        return True
    return is_allowed_host(parts.hostname or "", [host for host in allowed_hosts() if host != "*"])


def allowed_hosts() -> list[str]:
    """Return the hosts under which Django answers."""
    if django_settings.DEBUG and not django_settings.ALLOWED_HOSTS:
        return _DEBUG_HOSTS
    return list(django_settings.ALLOWED_HOSTS)


def is_allowed_host(hostname: str, hosts: Sequence[str]) -> bool:
    """Return whether a host, without its port and brackets, is one of some that are allowed."""
    return validate_host(f"[{hostname}]" if ":" in hostname else hostname, hosts)


def _is_trusted(parts: SplitResult, settings: Settings) -> bool:
    trusted = [*django_settings.CSRF_TRUSTED_ORIGINS, *settings.allowed_origins]
    return any(_matches(parts.scheme, parts.netloc, urlsplit(entry)) for entry in trusted)


def _host(request: WSGIRequest) -> str:
    if django_settings.USE_X_FORWARDED_HOST and "HTTP_X_FORWARDED_HOST" in request.META:
        return str(request.META["HTTP_X_FORWARDED_HOST"])
    return str(request.META.get("HTTP_HOST", ""))


def _matches(scheme: str, netloc: str, entry: Any) -> bool:
    return bool(scheme == entry.scheme and is_same_domain(netloc, entry.netloc.lstrip("*")))


def _identify(request: WSGIRequest, settings: Settings) -> None:
    """Set ``request.session`` and ``request.user``."""
    if process_request := load_callable(settings.process_request):
        process_request(request)
    elif apps.is_installed("django.contrib.sessions"):
        _load_session(request)
    if not hasattr(request, "session"):
        request.session = None  # type: ignore[assignment]
    if getattr(request, "user", None) is None:
        request.user = _anonymous()


def _load_session(request: WSGIRequest) -> None:
    engine = importlib.import_module(django_settings.SESSION_ENGINE)
    key = request.COOKIES.get(django_settings.SESSION_COOKIE_NAME)
    request.session = engine.SessionStore(key)
    if key is None:
        return
    # Loading drops the key of a session that does not exist.
    request.session.get("")
    if apps.is_installed("django.contrib.auth"):
        from django.contrib.auth import get_user  # needs the app registry

        request.user = get_user(request)


class Nobody:
    """The user of a request where the site knows no users."""

    username = ""
    is_authenticated = False
    is_anonymous = True


def _anonymous() -> Any:
    if not apps.is_installed("django.contrib.auth"):
        return Nobody()
    from django.contrib.auth.models import AnonymousUser  # needs the app registry

    return AnonymousUser()


def _asked_channels(subscriber: RedisSubscriber, flags: frozenset[str]) -> list[str]:
    known = [*subscriber.subscription_channels, *subscriber.publish_channels]
    return [name for name in known if name in flags]


def _narrow(request: WSGIRequest, asked: Sequence[str], settings: Settings) -> list[str]:
    """Let the site's callback reduce the asked channels; whatever goes wrong refuses."""
    callback = load_callable(settings.allowed_channels)
    if callback is None:
        return list(asked)
    allowed = callback(request, list(asked))
    if allowed is None:
        return list(asked)
    if isinstance(allowed, (str, bytes)) or not isinstance(allowed, Iterable):
        raise TypeError(f"WS4REDIS_ALLOWED_CHANNELS must return a list of names, got {allowed!r}.")
    names = set(allowed)
    return [name for name in asked if name in names]


def _unresolved(request: WSGIRequest, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the channels that address nobody, and why."""
    for name in names:
        own = _OWN.get(name.partition("-")[2])
        try:
            if own is not None:
                own(request)
        except Unresolved as error:
            yield name, str(error)


def _report(request: WSGIRequest, refused: dict[str, str], settings: Settings) -> None:
    for name, reason in refused.items():
        logger.warning("%r is refused on %r: %s", name, request.path_info, reason)
    if refused and settings.refuse_unresolved:
        reasons = ", ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise HandshakeError(403, f"Some channels are refused. {reasons}.")
