"""Composition root: builds the loop from the settings and returns the WSGI applications."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
from functools import partial
from typing import Any

import django
import gevent.monkey
import redis.connection
from django.apps import apps
from django.core.handlers.wsgi import WSGIHandler

from ws4redis import flood
from ws4redis.conf import Settings, get_histories, get_settings, redis_options
from ws4redis.endpoint import Endpoint, framed
from ws4redis.loop.link import open_link
from ws4redis.loop.options import Options
from ws4redis.loop.runner import Runner
from ws4redis.metrics import Metrics
from ws4redis.reauthorize import judge
from ws4redis.redis_client import get_client
from ws4redis.transports import Server, WSGIApplication, uwsgi
from ws4redis.views.endpoint import ViewEndpoint, asks_for_view
from ws4redis.views.running import Views

logger = logging.getLogger(__name__)

MERCY_USED = 0.7
"""Part of the server's patience that may be spent on closing websockets."""

metrics = Metrics()
"""The counters of this process."""

_was_patched = gevent.monkey.is_module_patched("socket")
_lock = threading.Lock()
_runners: dict[int, Runner] = {}


def get_websocket_application(views: Views | None = None) -> WSGIApplication:
    """Return the application that serves websockets and nothing else.

    Args:
        views: Where views run, if not as usual.

    Raises:
        TransportError: The server can't hold websockets as it was started.
    """
    _set_up()
    uwsgi.check_options()
    facilities = Endpoint(get_settings, get_client, get_runner, metrics)
    if get_settings().websocket_urlconf is None:
        return facilities
    own = ViewEndpoint(get_settings, get_runner, metrics, views)

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        is_facility = _is_below(environ) and not _asks_for_view(environ)
        return (facilities if is_facility else own)(environ, start_response)

    return application


get_wsgi_websocket_application = get_websocket_application
"""As django-websocket calls it."""


def get_application(
    django_application: WSGIApplication | None = None, *, views: Views | None = None
) -> WSGIApplication:
    """Return an application that serves websockets below ``WEBSOCKET_URL``, else Django.

    Args:
        django_application: What answers all other requests; a new Django handler if None.
        views: Where views run, if not as usual.
    """
    _set_up()
    ordinary = django_application or WSGIHandler()
    websocket = get_websocket_application(views)

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        is_websocket = _is_below(environ) or _asks_for_view(environ)
        return (websocket if is_websocket else ordinary)(environ, start_response)

    return application


def _is_below(environ: dict[str, Any]) -> bool:
    """Return whether an address lies where facilities do."""
    path: str = environ.get("PATH_INFO", "")
    return path.startswith(get_settings().websocket_url)


def _asks_for_view(environ: dict[str, Any]) -> bool:
    return asks_for_view(environ, get_settings().websocket_urlconf)


def _set_up() -> None:
    # As Django's own get_wsgi_application() does it.
    if not apps.ready:
        django.setup(set_prefix=False)


def get_runner(server: Server) -> Runner:
    """Return the loop of this process; starts it at the first call.

    Args:
        server: Whether the loop needs a daemon thread, and how soon it must be gone in the end.
    """
    # A server may load the application before it forks, so the process counts.
    process = os.getpid()
    with _lock:
        if process not in _runners:
            runner = _build(get_settings(), server.mercy)
            runner.start(own_thread=server.own_thread)
            _stop_at_exit(runner, process)
            _runners.clear()
            _runners[process] = runner
        return _runners[process]


def stop_runner() -> None:
    """Stop the loop of this process, if there is one; ``get_runner`` then starts another.

    Only tests need that, whose settings change.
    """
    with _lock:
        runner = _runners.pop(os.getpid(), None)
    if runner is not None:
        runner.stop()


def _stop_at_exit(runner: Runner, process: int) -> None:
    def stop() -> None:
        # A child that the site forked inherits this, but not the hub.
        if os.getpid() == process:
            runner.stop()

    if not uwsgi.at_exit(stop):
        atexit.register(stop)


def _build(settings: Settings, mercy: float) -> Runner:
    is_patched = gevent.monkey.is_module_patched("socket")
    if is_patched and not _was_patched:
        logger.error(
            "gevent patched this process after Django was loaded, so greenlets share one "
            "connection to the database. Start uWSGI with --gevent-early-monkey-patch, or gunicorn "
            "without --preload."
        )
    if not is_patched:
        # Sites that follow the old documentation have put gevent's socket there, which fails in
        # the threads where the loop, and hooks, talk to Redis.
        vars(redis.connection)["socket"] = socket
    flood.clients.limit = settings.log_rate
    connection_class, link_options = redis_options(settings.connection)
    return Runner(
        options(settings, mercy),
        lambda: open_link(connection_class, link_options, settings.redis_timeout),
        lambda identities: framed(partial(judge, identities)),
        metrics,
    )


def options(settings: Settings, mercy: float) -> Options:
    """Return what a loop may consume.

    Args:
        settings: The settings of ws4redis.
        mercy: Seconds that the server leaves to its process in the end.
    """
    return Options(
        heartbeat=settings.heartbeat.encode() if settings.heartbeat else None,
        heartbeat_interval=settings.heartbeat_interval,
        ping_interval=settings.ping_interval,
        max_connections=settings.max_connections,
        max_connections_per_address=settings.max_connections_per_address,
        control=settings.namespace.control.encode(),
        auth_sweep=settings.auth_sweep,
        drain_time=min(settings.drain_time, mercy * MERCY_USED),
        max_message_size=settings.max_message_size,
        max_fragments=settings.max_fragments,
        outbox_size=settings.outbox_size,
        backlog_size=settings.backlog_size,
        max_connections_per_user=settings.max_connections_per_user,
        max_connections_per_session=settings.max_connections_per_session,
        max_message_rate=settings.max_message_rate,
        max_byte_rate=settings.max_byte_rate,
        drop_over_rate=settings.over_rate == "drop",
        expire=settings.expire or 0,
        redis_timeout=settings.redis_timeout,
        histories=get_histories(),
        shown=settings.namespace.shown,
        hook_threads=settings.hook_threads,
    )
