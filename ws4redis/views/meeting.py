"""Where a request, and the view that it has started, wait for each other."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, cast

import gevent.event

from ws4redis.exceptions import ConnectionClosed
from ws4redis.loop.admission import Identity
from ws4redis.loop.runner import Runner
from ws4redis.views.socket import Line

GONE = "The client is gone."


@dataclass(frozen=True, slots=True)
class Answer:
    """What a view answers instead of opening its websocket."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a view opens its websocket with."""

    identity: Identity
    subprotocol: str | None
    headers: Mapping[str, str]
    line: Future[Line] = field(default_factory=Future)
    """Is waited for by the view."""


Decision = Answer | Acceptance | BaseException


class Meeting:
    """The view decides once; the request waits for that, and may give up before.

    Args:
        runner: The loop.
    """

    def __init__(self, runner: Runner) -> None:
        self._lock = threading.Lock()
        self._is_over = False
        self._decided: Any = _HubResult(runner) if runner.is_here else Future()

    def decide(self, decision: Decision) -> bool:
        """Tell the request; return whether it still waited for it."""
        with self._lock:
            if self._is_over:
                return False
            self._is_over = True
        self._decided.set_result(decision)
        return True

    def accept(
        self, identity: Identity, subprotocol: str | None, headers: Mapping[str, str]
    ) -> Line:
        """Let the request open the websocket; return it.

        Raises:
            ConnectionClosed: The client is gone, or was refused.
        """
        acceptance = Acceptance(identity, subprotocol, headers)
        if not self.decide(acceptance):
            raise ConnectionClosed(GONE)
        return acceptance.line.result()

    def wait(self, timeout: float | None) -> Decision:
        """Return what the view has decided.

        Raises:
            TimeoutError: It takes too long. It can't decide any more.
        """
        try:
            return cast(Decision, self._decided.result(timeout))
        except TimeoutError:
            if self._give_up():
                raise
            # It did, just now.
            return cast(Decision, self._decided.result())
        except BaseException:
            # The request itself is ended, such as by its server.
            if not self._give_up():
                _disappoint(self._decided.result())
            raise
        finally:
            # The view holds this as long as it runs.
            self._decided = None

    def _give_up(self) -> bool:
        """Let the view decide no more; return whether it has not."""
        with self._lock:
            was_over, self._is_over = self._is_over, True
        return not was_over


def _disappoint(decision: Decision) -> None:
    if isinstance(decision, Acceptance):
        decision.line.set_exception(ConnectionClosed(GONE))


class _HubResult:
    """A future for which a greenlet of the hub waits; set from any thread."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._result: Any = gevent.event.AsyncResult()

    def set_result(self, value: Any) -> None:
        self._runner.post(self._result.set, value)

    def result(self, timeout: float | None = None) -> Any:
        try:
            return self._result.get(timeout=timeout)
        except gevent.Timeout:
            raise TimeoutError from None
