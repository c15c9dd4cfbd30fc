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
    """The views that run in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.running = 0

    def meet(self, runner: Runner) -> Meeting:
        """Return where a view that is about to start meets its request."""
        return Meeting(runner)

    def start(self, runner: Runner, view: Callable[[], None], limit: int) -> None:
        """Run a view in a greenlet of a monkey-patched process, else in a thread of its own.

        Raises:
            HandshakeError: As many threads as there may be run views already.
        """
        if runner.is_patched:
            _ViewGreenlet.spawn(_run_alone, view)
            return
        with self._lock:
            if self.running >= limit:
                detail = f"{limit} views run (WS4REDIS_VIEW_THREADS)."
                raise HandshakeError(503, "Try again later.", (("Retry-After", "5"),), detail)
            self.running += 1
        try:
            # Not of a pool, whose threads Python would wait for at its end.
            threading.Thread(
                target=self._run, args=(view,), name="ws4redis-view", daemon=True
            ).start()
        except RuntimeError as error:
            self._ended()
            detail = f"The system has no thread for it: {error}"
            raise HandshakeError(
                503, "Try again later.", (("Retry-After", "5"),), detail
            ) from error

    def _run(self, view: Callable[[], None]) -> None:
        try:
            _run_alone(view)
        finally:
            self._ended()

    def _ended(self) -> None:
        with self._lock:
            self.running -= 1


def _run_alone(view: Callable[[], None]) -> None:
    """Run a view that has its connections to databases for itself."""
    try:
        view()
    finally:
        connections.close_all()
