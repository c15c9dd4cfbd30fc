"""Runs views beside the requests that have started them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import gevent
from django.db import connections

from ws4redis.exceptions import HandshakeError
from ws4redis.loop.runner import Runner
from ws4redis.views.meeting import Meeting

logger = logging.getLogger(__name__)


class _ViewGreenlet(gevent.Greenlet):  # type: ignore[misc]
    """Lives as long as a websocket, so it does not remember who has started it."""

    spawning_stack_limit = 0


class Views:
    """Starts views, as many as may run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def meet(self, runner: Runner) -> Meeting:
        """Return where a view that is about to start meets its request."""
        return Meeting(runner)

    def start(self, runner: Runner, view: Callable[[], None], limit: int) -> None:
        """Run a view in a greenlet of a monkey-patched process, else in a thread of its own.

        Raises:
            HandshakeError: As many threads as there may be run views already.
        """
        with self._lock:
            if not runner.is_patched and len(runner.tasks) >= limit:
                raise _is_busy(f"{limit} views run (WS4REDIS_VIEW_THREADS).")
            runner.tasks.add(view)
        if runner.is_patched:
            _ViewGreenlet.spawn(_run, runner, view)
        else:
            _start_thread(runner, view)


def _start_thread(runner: Runner, view: Callable[[], None]) -> None:
    # Not one of a pool, whose threads Python would wait for at its end.
    thread = threading.Thread(target=_run, args=(runner, view), name="ws4redis-view", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        runner.tasks.discard(view)
        raise _is_busy(f"The system has no thread for it: {error}") from error


def _is_busy(detail: str) -> HandshakeError:
    return HandshakeError(503, "Try again later.", (("Retry-After", "5"),), detail)


def _run(runner: Runner, view: Callable[[], None]) -> None:
    """Run a view that has its connections to databases for itself."""
    try:
        view()
    finally:
        connections.close_all()
        runner.tasks.discard(view)
