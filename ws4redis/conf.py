"""All settings in one typed object; the only module that reads ``django.conf.settings``.

A field ``name`` is the Django setting ``WS4REDIS_NAME``, or ``WEBSOCKET_NAME`` if it begins so.
Whatever else begins with ``WEBSOCKET_`` is the site's own.
Every field carries the id of the system check that names a wrong value.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis.connection
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from ws4redis import history
from ws4redis.channels import Audience, Namespace

Validator = Callable[[Any], str | None]
"""Returns what is wrong with a value, as the end of the sentence ``SETTING …``; None if nothing."""

PREFIX = "WS4REDIS_"
OLD_PREFIX = "WEBSOCKET_"
"""That of the addresses, as django-websocket-redis and django-websocket call them."""
FORWARDED_HEADERS = ("X-Forwarded-For", "Forwarded")
OVER_RATE = ("close", "drop")
UNKNOWN_ID = "ws4redis.E001"
JWT_KEYS = {
    "key": (str, bytes),
    "algorithms": (list, tuple),
    "claim": (str,),
    "field": (str,),
    "audience": (str, list, tuple),
    "issuer": (str, list, tuple),
    "leeway": (int, float),
}
"""What ``WS4REDIS_JWT`` may hold, and of which types."""


def _number(
    minimum: float, *, none: bool = False, whole: bool = False, maximum: float = math.inf
) -> Validator:
    limit = f" and at most {maximum:.10g}" if maximum < math.inf else ""
    kind = "a whole number" if whole else "a number"

    def validate(value: Any) -> str | None:
        if none and value is None:
            return None
        good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if good and minimum <= value <= maximum and math.isfinite(value):
            return None
        return (
            f"must be {kind} of at least {minimum:.10g}{limit}{' or None' if none else ''}, "
            f"got {value!r}."
        )

    return validate


def _text(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return None
    return f"must be a text that is not empty, or None, got {value!r}."


def _prefix(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or value.endswith(":"):
        return f"must be a text that does not end with a colon, or None, got {value!r}."
    # With "user", user:john:foo of this site would be what another one calls user:user:john:foo.
    if taken := sorted(set(Audience).intersection(value.split(":"))):
        return f"must not have {taken[0]!r} between its colons, which names an audience."
    return None


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else f"must be True or False, got {value!r}."


def _texts(value: Any) -> str | None:
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) and item for item in value):
        return None
    return f"must be a list of texts that are not empty, got {value!r}."


def _origins(value: Any) -> str | None:
    if wrong := _texts(value):
        return wrong
    bad = [item for item in value if not _is_origin(item)]
    return f"must hold origins such as 'https://example.com', got {bad[0]!r}." if bad else None


def _is_origin(item: str) -> bool:
    scheme, separator, host = item.partition("://")
    return bool(separator and scheme and host) and "/" not in host


def _proxies(value: Any) -> str | None:
    if wrong := _texts(value):
        return wrong
    for item in value:
        try:
            ipaddress.ip_network(item if item != "unix" else "::")
        except ValueError:
            return f"must hold networks such as '10.0.0.0/8', or 'unix', got {item!r}."
    return None


def _forwarded_header(value: Any) -> str | None:
    if value in FORWARDED_HEADERS:
        return None
    return f"must be one of {', '.join(FORWARDED_HEADERS)}, got {value!r}."


def _over_rate(value: Any) -> str | None:
    return None if value in OVER_RATE else f"must be one of {', '.join(OVER_RATE)}, got {value!r}."


def _pattern(value: Any) -> str | None:
    try:
        re.compile(value)
    except (TypeError, re.error) as error:
        return f"must be a regular expression, got {value!r}: {error}."
    return None


def _websocket_url(value: Any) -> str | None:
    if isinstance(value, str) and value.startswith("/") and value.endswith("/") and value != "/":
        return None
    return f"must be a path that starts and ends with a slash, such as '/ws/', got {value!r}."


def _server(value: Any) -> str | None:
    if isinstance(value, str) and "/" not in value:
        return None
    return f"must be a host such as 'ws.example.com:8001', without a scheme, got {value!r}."


def _redirect_status(value: Any) -> str | None:
    return None if value in (None, 401, 403) else f"must be 401, 403 or None, got {value!r}."


def _callback(value: Any) -> str | None:
    return _imported(value, optional=True)[1]


def _token_auth(value: Any) -> str | None:
    methods = value if isinstance(value, (list, tuple)) else [value]
    if not methods:
        return "must name a method at least."
    return next((wrong for one in methods if (wrong := _imported(one, optional=False)[1])), None)


def _jwt(value: Any) -> str | None:
    if not isinstance(value, Mapping):
        return f"must be a dictionary, got {value!r}."
    for name, item in value.items():
        if name not in JWT_KEYS:
            return f"must hold nothing but {', '.join(JWT_KEYS)}, got {name!r}."
        if not isinstance(item, JWT_KEYS[name]) or (item != 0 and not item):
            # What it holds may be the key.
            return f"holds a value of {name!r} that is empty or has a wrong type."
    return _algorithms(value.get("algorithms", ["HS256"]))


def _algorithms(names: Any) -> str | None:
    if any(not isinstance(name, str) or name.lower() == "none" for name in names):
        return f"must name algorithms that sign, got {names!r}."
    # Who knows the public key of one kind could sign with it by the other.
    if len({name.startswith("HS") for name in names}) > 1:
        return f"must not mix algorithms of shared and of public keys, got {names!r}."
    return None


def _route_prefix(value: Any) -> str | None:
    return None if isinstance(value, str) else f"must be a text, got {value!r}."


def _flag_or_none(value: Any) -> str | None:
    return None if value is None else _flag(value)


def _class(value: Any) -> str | None:
    imported, wrong = _imported(value, optional=False)
    if wrong is None and not isinstance(imported, type):
        return f"must name a class, got {value!r}."
    return wrong


def imported_class(value: Any) -> type | None:
    """Return the class that a setting names by itself or by its dotted path; None if it is none."""
    imported, _ = _imported(value, optional=False)
    return imported if isinstance(imported, type) else None


def _imported(value: Any, *, optional: bool) -> tuple[Any, str | None]:
    """Resolve a callable or a dotted path to one; return it, and what is wrong with it."""
    if value is None and optional:
        return None, None
    if isinstance(value, str):
        try:
            value = import_string(value)
        except ImportError as error:
            return None, f"can't be imported: {error}."
    return value, None if callable(value) else f"must be a callable or a path to it, got {value!r}."


def _connection(value: Any) -> str | None:
    try:
        redis_options(value)
    except (TypeError, ValueError) as error:
        return f"is no Redis connection: {error}"
    return None


def _history(value: Any) -> str | None:
    if not isinstance(value, Mapping):
        return f"must be a dictionary of facilities, got {value!r}."
    try:
        history.rules(value)
    except (TypeError, ValueError) as error:
        return f"is wrong: {error}."
    return None


def setting(default: Any, check: str, validate: Validator) -> Any:
    """Declare one setting: its default, the id of its system check, and its validator."""
    metadata = {"check": f"ws4redis.{check}", "validate": validate}
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """One field per Django setting of ws4redis."""

    websocket_url: str = setting("/ws/", "E002", _websocket_url)
    """Path below which websockets are served; what follows it is the facility."""

    websocket_urlconf: str | None = setting(None, "E039", _text)
    """The module whose ``urlpatterns`` lead to websocket views. None: there are none."""

    websocket_server: str = setting("", "E040", _server)
    """Host, and port if it is not that of the scheme, where websocket views are served, for
    ``{% websocket_url %}``. Empty: where the request has come to."""

    connection: dict[str, Any] | str = setting({}, "E003", _connection)
    """Where Redis is: a URL (``redis://``, ``rediss://`` or ``unix://``), or a dictionary with
    ``host``, ``port``, ``db``, ``username``, ``password``, ``unix_socket_path``, ``ssl`` and what
    else a redis-py connection takes. Name only what deviates from ``localhost:6379``, db 0."""

    prefix: str | None = setting(None, "E005", _prefix)
    """Text before each channel and key in Redis, without the colon that follows it. None: nothing.
    None of its parts between colons may be the name of an audience, such as ``user``."""

    expire: int | None = setting(
        3600, "E004", _number(0, none=True, whole=True, maximum=history.LARGEST)
    )
    """Seconds for which the last message of each channel is persisted, so that a client receives
    it when it connects. 0 or None: messages are not persisted."""

    history: dict[str, dict[str, Any]] = setting({}, "E038", _history)
    """Facilities whose channels keep their last messages, so that a client that was away gets what
    it missed: ``{'chat': {'length': 1000, 'expire': 86400}, 'news/*': {}}``. ``length``: messages
    of each channel; ``expire``: seconds after the last one, None for ever; ``audiences``: a list
    such as ``['broadcast', 'user']``, all by default. The first that fits a facility counts."""

    redis_timeout: float = setting(2.0, "E017", _number(0.01))
    """Seconds that a publisher waits for Redis, and that a new websocket waits for its channels."""

    subscriber: Any = setting("ws4redis.subscriber.RedisSubscriber", "E006", _class)
    """The class, or its dotted path, that decides which channels a websocket joins and what happens
    to messages that it sends."""

    allowed_channels: Any = setting(None, "E007", _callback)
    """A function ``(request, channels)``, or its dotted path, that returns those of the asked
    channels (such as ``'subscribe-broadcast'``) which the client may use, or raises
    ``PermissionDenied``. None returned: all that were asked. None set: everything is allowed."""

    process_request: Any = setting(None, "E008", _callback)
    """A function ``(request)``, or its dotted path, that sets ``request.session`` and
    ``request.user`` in place of Django's own sessions and authentication."""

    hook_threads: int = setting(10, "E018", _number(1, whole=True))
    """Threads of the websocket loop that load sessions and users and run the hooks above."""

    hook_timeout: float | None = setting(30.0, "E035", _number(0.01, none=True))
    """Seconds that a new websocket waits for these threads and hooks; then it gets a 503. None: for
    ever. It counts where the loop runs on the hub of its server (``serve``, uWSGI and gunicorn with
    gevent); other servers have threads of their own for requests, and options for their time."""

    view_threads: int = setting(100, "E041", _number(1, whole=True))
    """Threads of a process in which websocket views run, one for each; another view gets a 503. In
    a process that is monkey-patched each has a greenlet, and there may be any number."""

    redirect_status: int | None = setting(403, "E042", _redirect_status)
    """Status with which a view's redirect is answered, such as that of ``@login_required`` to the
    login page, as no websocket follows it: 401, 403, or None for the redirect itself."""

    token_auth: Any = setting("ws4redis.tokens.tickets.authenticate", "E043", _token_auth)
    """A function ``(token)``, or its dotted path, that returns the user of a token, or None if it
    is not valid; or a list of them, of which the first one that knows a token counts. There are
    those of ``ws4redis.tokens.tickets``, ``ws4redis.tokens.rest_framework`` and
    ``ws4redis.tokens.jwt``."""

    jwt: dict[str, Any] = setting({}, "E044", _jwt)
    """How ``ws4redis.tokens.jwt`` reads its tokens: ``key`` (``SECRET_KEY`` by default; the public
    one of asymmetric algorithms), ``algorithms`` (``['HS256']``), ``claim`` that names the user
    (``'user_id'``) by which ``field`` of its model (``'pk'``), ``audience`` and ``issuer`` (not
    looked at), and ``leeway`` in seconds (0). Name only what deviates."""

    handler_prefix: str = setting("", "E045", _route_prefix)
    """The path below which the routes of websocket handlers lie, such as ``'live'``."""

    handler_append_slash: bool | None = setting(None, "E046", _flag_or_none)
    """Whether the routes of websocket handlers get a slash at their end. None: as Django's
    ``APPEND_SLASH`` says."""

    refuse_unresolved: bool = setting(False, "E014", _flag)
    """What happens if a client asks for a channel that it can't have, such as ``subscribe-user``
    without a login. False: it is connected without that channel, and the reason goes to the log and
    to the header ``X-WS4Redis-Refused``. True: it gets a 403."""

    facility_pattern: str = setting(r"[^\x00-\x1f\x7f]{1,200}", "E031", _pattern)
    """The regular expression that the name of a facility must match as a whole, when a client asks
    for it; another name gets a 404."""

    max_channels: int = setting(500, "E032", _number(1, whole=True))
    """Channels of one websocket, such as those of the groups of its user; more get a 403."""

    allowed_origins: list[str] = setting([], "E012", _origins)
    """Origins such as ``'https://example.com'`` whose pages may open websockets, besides those of
    the site itself, of ``ALLOWED_HOSTS`` and of ``CSRF_TRUSTED_ORIGINS``."""

    subprotocols: list[str] = setting([], "E013", _texts)
    """Subprotocols this site speaks, the preferred one first. One of them is chosen if the client
    offers it."""

    auth_sweep: float | None = setting(60.0, "E034", _number(1, none=True))
    """Seconds between two looks at the sessions, users and groups behind all open websockets, for
    changes that no signal tells, such as an expired session. None: no such looks."""

    heartbeat: str | None = setting(None, "E009", _text)
    """Text that is sent to each client on an interval, and dropped when a client sends it.
    None: no heartbeats."""

    heartbeat_interval: float = setting(4.0, "E010", _number(0.1))
    """Seconds between two heartbeats to one client."""

    ping_interval: float | None = setting(25.0, "E011", _number(0.1, none=True))
    """Seconds between two pings to one client. One that was silent for a whole interval after a
    ping is given up. None: no pings, so a client that vanished without a word stays until something
    is sent to it."""

    compression_threshold: int | None = setting(1024, "E025", _number(0, none=True, whole=True))
    """Bytes from which on a message is compressed (permessage-deflate) for clients that can read
    it. None: nothing is compressed, in neither direction."""

    max_message_size: int = setting(2**20, "E015", _number(1, whole=True))
    """Bytes of the largest message that a client may send; a larger one closes with 1009, or gets a
    413 if it is posted."""

    max_fragments: int = setting(1024, "E024", _number(1, whole=True))
    """Frames that a message of a client may be cut into; more of them close with 1009."""

    max_message_rate: float | None = setting(100.0, "E028", _number(0.01, none=True))
    """Messages and pings that a client may send in a second. Who was silent may send the messages
    of ten seconds at once. None: any number."""

    max_byte_rate: float | None = setting(2**20, "E029", _number(1, none=True))
    """Bytes of messages that a client may send in a second, or those of ten seconds at once.
    None: any number."""

    over_rate: str = setting("close", "E030", _over_rate)
    """What happens to a client that sends more: ``'close'`` ends its websocket with 1008,
    ``'drop'`` ignores what it sends beyond its rate. Who posts more gets a 429."""

    outbox_size: int = setting(2**20, "E016", _number(1024, whole=True))
    """Bytes that may wait for one slow client, behind the message that it is taking. Beyond it, it
    is disconnected."""

    backlog_size: int = setting(2**28, "E033", _number(2**20, whole=True))
    """Bytes that may wait for all slow clients of a process together. Beyond it, the client for
    which most waits is disconnected."""

    trusted_proxies: list[str] = setting([], "E020", _proxies)
    """Networks of the proxies that are believed when they say whom they speak for, such as
    ``'127.0.0.1'`` or ``'10.0.0.0/8'``; ``'unix'`` stands for whoever talks through a unix socket.
    The client's address is used in the log. Nobody else's header is read."""

    forwarded_header: str = setting("X-Forwarded-For", "E021", _forwarded_header)
    """The header in which the trusted proxies name the client: ``'X-Forwarded-For'`` or
    ``'Forwarded'`` (RFC 7239). The other one is ignored, as a client may have sent it."""

    max_connections: int | None = setting(None, "E022", _number(1, none=True, whole=True))
    """Websockets that one process holds; another one gets a 503. None: as many as come."""

    max_connections_per_address: int | None = setting(
        None, "E023", _number(1, none=True, whole=True)
    )
    """Websockets of one client address in one process; another one gets a 429. None: any number.
    Behind a proxy, name it in ``WS4REDIS_TRUSTED_PROXIES`` first: else all have its address."""

    max_connections_per_user: int | None = setting(100, "E026", _number(1, none=True, whole=True))
    """Websockets of one user in one process; another one gets a 429. None: any number."""

    max_connections_per_session: int | None = setting(
        100, "E027", _number(1, none=True, whole=True)
    )
    """Websockets of one session in one process; another one gets a 429. None: any number."""

    handshake_timeout: float = setting(10.0, "E036", _number(0.1))
    """Seconds that a client has to send its handshake to ``manage.py ws4redis serve``, all its
    headers, and as many for a message that it posts; then it gets a 408. Other servers have options
    of their own for that."""

    log_rate: int | None = setting(20, "E037", _number(1, none=True, whole=True))
    """Lines of one kind that clients may cause in a second; one more says how many were left out.
    None: any number."""

    drain_time: float = setting(5.0, "E019", _number(0))
    """Seconds at most over which a process that stops or reloads closes its websockets, so that
    their clients don't all come back at once. It is less where the server has less patience."""

    @property
    def namespace(self) -> Namespace:
        """Builds the names of this site's channels."""
        return Namespace(self.prefix or "")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Settings:
        """Build the settings from Django's names and values.

        Raises:
            ImproperlyConfigured: A name is unknown or a value is wrong; names all of them.
        """
        if problems := list(find_problems(values)):
            raise ImproperlyConfigured(" ".join(message for _, message in problems))
        names = {django_name(item): item.name for item in all_fields()}
        return cls(**{names[name]: value for name, value in values.items()})


def all_fields() -> tuple[dataclasses.Field[Any], ...]:
    """Return the fields of ``Settings``."""
    return dataclasses.fields(Settings)


def django_name(item: dataclasses.Field[Any]) -> str:
    """Return the Django setting that a field of ``Settings`` stands for."""
    name = item.name.upper()
    return name if name.startswith(OLD_PREFIX) else PREFIX + name


def find_problems(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the check id and the sentence for each unknown name and wrong value."""
    known = {django_name(item): item for item in all_fields()}
    for name, value in values.items():
        if name not in known:
            yield UNKNOWN_ID, f"{name} is no setting of ws4redis. There are: {', '.join(known)}."
        elif wrong := known[name].metadata["validate"](value):
            yield known[name].metadata["check"], f"{name} {wrong}"


def read_values() -> dict[str, Any]:
    """Return what Django's settings say of ws4redis, unchecked, by Django's names."""
    known = {django_name(item) for item in all_fields()}
    return {
        name: getattr(django_settings, name)
        for name in dir(django_settings)
        if name in known or name.startswith(PREFIX)
    }


@functools.cache
def get_settings() -> Settings:
    """Return the settings; follows ``override_settings``.

    Raises:
        ImproperlyConfigured: A name is unknown or a value is wrong.
    """
    return Settings.from_mapping(read_values())


@functools.cache
def get_histories() -> history.Histories:
    """Return which of the site's channels have a history; follows ``override_settings``."""
    settings = get_settings()
    return history.Histories(settings.namespace, history.rules(settings.history))


def load_token_methods() -> list[Callable[[str], Any]]:
    """Return the functions of ``WS4REDIS_TOKEN_AUTH``."""
    value = get_settings().token_auth
    return [load_callable(one) for one in (value if isinstance(value, (list, tuple)) else [value])]


def jwt_options() -> dict[str, Any]:
    """Return ``WS4REDIS_JWT`` with its defaults."""
    defaults = {"algorithms": ["HS256"], "claim": "user_id", "field": "pk", "leeway": 0}
    return {"key": django_settings.SECRET_KEY, **defaults, **get_settings().jwt}


def appends_slash() -> bool:
    """Return whether the routes of handlers end with a slash."""
    chosen = get_settings().handler_append_slash
    return bool(django_settings.APPEND_SLASH if chosen is None else chosen)


def load_callable(value: Any) -> Any:
    """Return a callable that a setting names by itself or by its dotted path; None stays None.

    Raises:
        ImproperlyConfigured: It can't be imported or can't be called.
    """
    imported, wrong = _imported(value, optional=True)
    if wrong:
        raise ImproperlyConfigured(f"{value!r} {wrong}")
    return imported


_CONNECTION_CLASSES = {
    "path": redis.connection.UnixDomainSocketConnection,
    "ssl": redis.connection.SSLConnection,
    "tcp": redis.connection.Connection,
}


def redis_options(value: dict[str, Any] | str) -> tuple[type[Any], dict[str, Any]]:
    """Turn ``WS4REDIS_CONNECTION`` into a redis-py connection class and its arguments.

    Raises:
        TypeError: It is neither a URL nor a dictionary, or an argument is unknown to redis-py.
        ValueError: The URL is wrong.
    """
    options = _parsed(value)
    connection_class = options.pop("connection_class", None)
    if "unix_socket_path" in options:
        options["path"] = options.pop("unix_socket_path")
    use_ssl = options.pop("ssl", False)
    kind = "path" if "path" in options else "ssl" if use_ssl else "tcp"
    connection_class = connection_class or _CONNECTION_CLASSES[kind]
    connection_class(**options)
    return connection_class, options


def _parsed(value: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(value, str):
        return dict(redis.connection.parse_url(value))  # type: ignore[no-untyped-call]
    if isinstance(value, dict):
        return dict(value)
    raise TypeError(f"it must be a URL or a dictionary, got {value!r}.")


def _forget_settings(*, setting: str, **_: Any) -> None:
    if setting.startswith((PREFIX, OLD_PREFIX)):
        get_settings.cache_clear()
        get_histories.cache_clear()


setting_changed.connect(_forget_settings, dispatch_uid="ws4redis.conf")
