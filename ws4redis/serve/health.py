"""``/healthz`` and ``/readyz``: what a load balancer or an orchestrator asks a process."""

from __future__ import annotations

from collections.abc import Iterable

from ws4redis.answers import answer
from ws4redis.loop.runner import Runner
from ws4redis.transports import Environ, StartResponse, WSGIApplication

ALIVE, READY = "/healthz", "/readyz"


def with_health(application: WSGIApplication, runner: Runner) -> WSGIApplication:
    """Return an application that answers the two addresses, and hands on all other requests."""

    def with_answers(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == ALIVE:
            return answer(start_response, 200, "alive")
        if path == READY:
            missing = _missing(runner)
            return answer(start_response, 503 if missing else 200, missing or "ready")
        return application(environ, start_response)

    return with_answers


def _missing(runner: Runner) -> str | None:
    """Return why no websocket can be opened at present."""
    if runner.is_draining:
        return "draining"
    return None if runner.bus.is_connected else "no link to Redis"
