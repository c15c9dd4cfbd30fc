"""``/healthz`` and ``/readyz``: what a load balancer or an orchestrator asks a process."""

from __future__ import annotations

from collections.abc import Iterable

from ws4redis.loop.runner import Runner
from ws4redis.transports import Environ, StartResponse, WSGIApplication

ALIVE, READY = "/healthz", "/readyz"


def with_health(application: WSGIApplication, runner: Runner) -> WSGIApplication:
    """Return an application that answers the two addresses, and hands on all other requests."""

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == ALIVE:
            return _answer(start_response, "200 OK", "alive")
        if path == READY:
            missing = _missing(runner)
            status = "503 Service Unavailable" if missing else "200 OK"
            return _answer(start_response, status, missing or "ready")
        return application(environ, start_response)

    return answer


def _missing(runner: Runner) -> str | None:
    """Return why no websocket can be opened at present."""
    if runner.is_draining:
        return "draining"
    return None if runner.bus.is_connected else "no link to Redis"


def _answer(start_response: StartResponse, status: str, text: str) -> Iterable[bytes]:
    body = f"{text}\n".encode()
    start_response(
        status,
        [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        ],
    )
    return [body]
