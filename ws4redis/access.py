"""Who asks for a websocket, and which channels may that request read and write."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.http.request import split_domain_port, validate_host
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.http import is_same_domain

from ws4redis import flood, page
from ws4redis.audiences import Unresolved, authenticated_user, own_session, own_user
from ws4redis.channels import without_secrets
from ws4redis.conf import Settings, load_callable
from ws4redis.exceptions import HandshakeError
from ws4redis.history import NOWHERE, Position
from ws4redis.identity import identify, session_store
from ws4redis.loop.admission import Identity
from ws4redis.subscriber import RedisSubscriber
from ws4redis.wire.sse import decode_places, misplaced

logger = flood.clients.guard(logging.getLogger(__name__))

LOGIN = "ws4redis.login"
"""Where the environment of a request has what returns the user of its token once more."""

_OWN = {"user": own_user, "group": authenticated_user, "session": own_session}
_DEBUG_HOSTS = [".localhost", "127.0.0.1", "[::1]"]
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(([a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?)",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a request gets."""

    subscriber: RedisSubscriber
    """Has its subscriptions and publications set."""
    flags: frozenset[str]
    """All flags of the address, such as ``'echo'``."""
    identity: Identity
    """Who the request comes from."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why some of the asked channels are not among the granted ones."""
    since: dict[str, Position] = field(default_factory=dict)
    """Where the client was, by channel as it sees it."""
    elsewhere: Position | None = None
    """Where it was on all other channels; None if it is new there."""
    login: Callable[[], Any] | None = None
    """Returns the user of the token once more, as further requests of the client hand in none; see
    ``ws4redis.tokens.user_of``."""


def authorize(environ: dict[str, Any], settings: Settings, subscriber: RedisSubscriber) -> Grant:
    """Decide about a websocket request; may block, and run the site's own hooks.

    Args:
        environ: The WSGI environment of the request.
        settings: The settings of ws4redis.
        subscriber: Is told the channels that the request gets.

    Raises:
        HandshakeError: The request is refused.
    """
    request = request_of(environ)
    check_origin(request, settings)
    try:
        since = _since(request, settings)
        _identify(request, settings)
        if request.method == "POST":
            _check_token(request)
        # Before it is decided what they may do: whatever changes later is then seen as a change.
        identity = identify(request)
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
    elsewhere = NOWHERE if "from" in request.GET else None
    login = request.META.get(LOGIN)
    return Grant(subscriber, flags, identity, refused, since, elsewhere, login)


def request_of(environ: dict[str, Any]) -> WSGIRequest:
    """Return what Django makes of a request."""
    # It would read the address by the charset that a client names for a body there is not, and it
    # writes into what it gets, so that another one would decode the path once more.
    return WSGIRequest({**environ, "CONTENT_TYPE": ""})


def _since(request: WSGIRequest, settings: Settings) -> dict[str, Position]:
    """Return where the client was, as it says itself, or as its page does."""
    told = dict(_positions(request))
    token = request.GET.get("from", "")
    facility = request.path_info.removeprefix(settings.websocket_url)
    return (page.read(token, facility) or {}) | told if token else told


def _positions(request: WSGIRequest) -> Iterator[tuple[str, Position]]:
    # Names of users may hold one, too.
    asked = (text.rpartition("@")[::2] for text in request.GET.getlist("since"))
    # A browser whose stream broke asks for the same address again, and says besides how far it got.
    reached = decode_places(request.META.get("HTTP_LAST_EVENT_ID", ""))
    for source, places in (("since", asked), ("Last-Event-ID", reached.items())):
        for channel, place in places:
            if not channel or (position := Position.parse(place)) is None:
                raise misplaced(source, without_secrets(f"{channel}@{place}" if channel else place))
            yield channel, position


def check_origin(request: WSGIRequest, settings: Settings) -> None:
    """Refuse a page of another site.

    Raises:
        HandshakeError: The origin may not open websockets here.
    """
    origin = request.META.get("HTTP_ORIGIN")
    if origin is None or _is_good_origin(request, origin, settings):
        return
    detail = (
        f"It is {origin[:200]}; list it in WS4REDIS_ALLOWED_ORIGINS, or in CSRF_TRUSTED_ORIGINS if "
        "it posts, too, if it is yours."
    )
    what = "publish" if request.method == "POST" else "open websockets"
    raise HandshakeError(403, f"This origin may not {what} here.", detail=detail)


class _CsrfCheck(CsrfViewMiddleware):
    """Says what Django's own check says of a request, without an answer of its own."""

    def _reject(self, request: Any, reason: str) -> Any:
        return reason


def _check_token(request: WSGIRequest) -> None:
    """Refuse what a page of another site may have made a browser send."""
    check = _CsrfCheck(lambda request: HttpResponse())
    check.process_request(request)
    # Whatever the site exempts, this is none of its views.
    if reason := check.process_view(request, lambda request: HttpResponse(), (), {}):
        raise HandshakeError(403, "The CSRF token is missing or wrong.", detail=str(reason))


class _Page(NamedTuple):
    """Where the page that opens a websocket comes from, in lower case."""

    scheme: str
    netloc: str
    """The host, and the port unless it is that of the scheme."""
    hostname: str


def _is_good_origin(request: WSGIRequest, origin: str, settings: Settings) -> bool:
    # Nothing but what browsers send for a page of the web: urlsplit() would take much more.
    if (match := _ORIGIN.fullmatch(origin)) is None:
        return False
    scheme, netloc, hostname = (part.lower() for part in match.groups())
    page = _Page(scheme, _without_default_port(scheme, netloc), hostname.strip("[]"))
    return _is_own_page(request, page) or _is_trusted(page, settings)


def _without_default_port(scheme: str, netloc: str) -> str:
    return netloc.lower().removesuffix(_DEFAULT_PORTS.get(scheme, "no port"))


def _is_own_page(request: WSGIRequest, page: _Page) -> bool:
    # Anybody on the way can alter a page that comes without TLS; a site with TLS has none.
    if page.scheme != "https" and (page.scheme != "http" or request.is_secure()):
        return False
    hosts = allowed_hosts()
    if is_allowed_host(page.hostname, [host for host in hosts if host != "*"]):
        return True
    # The Host alone proves nothing: a stranger's name may lead to this address, too.
    return "*" in hosts and page.netloc == _without_default_port(page.scheme, _host(request))


def allowed_hosts() -> list[str]:
    """Return the hosts under which Django answers."""
    if django_settings.DEBUG and not django_settings.ALLOWED_HOSTS:
        return _DEBUG_HOSTS
    return list(django_settings.ALLOWED_HOSTS)


def is_allowed_host(hostname: str, hosts: Sequence[str]) -> bool:
    """Return whether a host, without its port and brackets, is one of some that are allowed."""
    name = hostname.removesuffix(".")
    return validate_host(f"[{name}]" if ":" in name else name, hosts)


def hostname(environ: dict[str, Any]) -> str:
    """Return the host that a request was sent to, without its port; empty if it is none."""
    domain, _ = split_domain_port(_host(request_of(environ)))
    return domain.strip("[]")


def _is_trusted(page: _Page, settings: Settings) -> bool:
    trusted = [*django_settings.CSRF_TRUSTED_ORIGINS, *settings.allowed_origins]
    return any(_matches(page, urlsplit(entry)) for entry in trusted)


def _host(request: WSGIRequest) -> str:
    if django_settings.USE_X_FORWARDED_HOST and "HTTP_X_FORWARDED_HOST" in request.META:
        return str(request.META["HTTP_X_FORWARDED_HOST"])
    return str(request.META.get("HTTP_HOST", ""))


def _matches(page: _Page, entry: Any) -> bool:
    pattern = _without_default_port(entry.scheme, entry.netloc.lstrip("*"))
    return bool(page.scheme == entry.scheme and is_same_domain(page.netloc, pattern))


def _identify(request: WSGIRequest, settings: Settings) -> None:
    """Set ``request.session`` and ``request.user``."""
    if process_request := load_callable(settings.process_request):
        _run_process_request(process_request, request)
    elif apps.is_installed("django.contrib.sessions"):
        load_session(request, request.COOKIES.get(django_settings.SESSION_COOKIE_NAME))
    if not hasattr(request, "session"):
        request.session = None  # type: ignore[assignment]
    if getattr(request, "user", None) is None:
        request.user = _anonymous()


def _run_process_request(process_request: Any, request: WSGIRequest) -> None:
    # A response was meant to refuse, and of a coroutine or a generator nothing has run yet.
    if (returned := process_request(request)) is not None:
        raise TypeError(f"WS4REDIS_PROCESS_REQUEST must return nothing, got {returned!r}.")


def load_session(request: Any, key: str | None) -> None:
    """Set ``request.session`` and, if it exists, ``request.user`` as it says.

    Args:
        request: Without them so far.
        key: Of the session.
    """
    store = session_store()
    request.session = store(key)
    if key is None:
        return
    if not _is_saved(request.session):
        request.session = store()
        return
    # After a change of SECRET_KEY, Django would give the session a key that the browser never gets.
    request.session.cycle_key = lambda: None
    if apps.is_installed("django.contrib.auth"):
        from django.contrib.auth import get_user  # needs the app registry

        request.user = get_user(request)


def _is_saved(session: SessionBase) -> bool:
    key = session.session_key
    # Loading a session that does not exist drops its key, or makes up another one.
    session.get("")
    return session.session_key == key


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
    if isinstance(allowed, (str, bytes, Mapping)) or not isinstance(allowed, Iterable):
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
    if refused and settings.refuse_unresolved:
        reasons = ", ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise HandshakeError(403, f"Some channels are refused. {reasons}.")
    for name, reason in refused.items():
        logger.warning("%a is refused on '%s': %s", name, flood.to_quote(request.path_info), reason)
