"""Several processes that share the listeners, replaced when they die or when a reload is asked."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ws4redis.serve import inheritance, notify

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
SIGNALS = (*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD)
TICK = 0.1
"""Seconds between two looks at the processes if no signal comes."""
GRACE = 5.0
"""Seconds beyond the drain time that a process has to end before it is killed."""
MAX_BACKOFF = 5.0
"""Seconds at most between two attempts to replace a process that can't start; they double."""


@dataclass(eq=False)
class Child:
    """One process that holds websockets."""

    process: subprocess.Popen[bytes]
    lifeline: socket.socket
    """Gets a byte when the process serves; the process stops when this end is closed."""
    is_ready: bool = field(default=False)

    def look(self) -> None:
        """Note whether the process serves by now."""
        if not self.is_ready:
            try:
                self.is_ready = self.lifeline.recv(1) == b"1"
            except BlockingIOError:
                return

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None


class Supervisor:
    """Keeps a number of processes running.

    Args:
        listeners: What they accept websockets on.
        workers: How many there are to be.
        drain_time: Seconds that a process may take to close its websockets.
        on_ready: Called once when all of them serve.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        workers: int,
        drain_time: float,
        on_ready: Callable[[], None],
    ) -> None:
        self._listeners = listeners
        self._workers = workers
        self._patience = drain_time + GRACE
        self._on_ready = on_ready
        self._children: list[Child] = []
        self._newcomers: list[Child] = []
        self._leaving: list[Child] = []
        self._failures = 0
        self._next_start = 0.0

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; return the exit status."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self._children = self._start(self._workers)
        if (status := self._wait_until_ready()) is not None:
            self._stop(self._children)
            return status
        self._on_ready()
        self._say_ready()
        while (number := _wait_for(SIGNALS)) not in STOP_SIGNALS:
            if number == signal.SIGHUP:
                self._begin_reload()
            self._look()
        notify.stopping()
        for listener in self._listeners:
            listener.close()
        self._stop([*self._children, *self._newcomers, *self._leaving])
        return 0

    def _start(self, count: int) -> list[Child]:
        return [self._start_one() for _ in range(count)]

    def _start_one(self) -> Child:
        ours, theirs = socket.socketpair()
        with theirs:
            descriptors = [theirs.fileno(), *(one.fileno() for one in self._listeners)]
            process = subprocess.Popen(
                inheritance.command(),
                env=inheritance.environment(self._listeners, theirs),
                pass_fds=descriptors,
            )
        ours.setblocking(False)
        return Child(process, ours)

    def _wait_until_ready(self) -> int | None:
        """Return an exit status if the first processes don't serve: it would fail again."""
        while not all(child.is_ready for child in self._children):
            # A reload that is asked for too early waits.
            if _wait_for((*STOP_SIGNALS, signal.SIGCHLD)) in STOP_SIGNALS:
                return 0
            for child in self._children:
                child.look()
            if any(child.has_ended() for child in self._children):
                logger.error("A process ended before it served; giving up.")
                return 1
        return None

    def _look(self) -> None:
        """Go on with a reload, and replace the processes that died."""
        self._leaving = [child for child in self._leaving if not _bury(child)]
        for child in (*self._newcomers, *self._children):
            child.look()
        self._finish_reload()
        self._replace_dead()

    def _begin_reload(self) -> None:
        logger.info("Reloading: starting %d new processes.", self._workers)
        notify.reloading()
        self._leaving += self._newcomers
        _send(self._newcomers, signal.SIGTERM)
        self._newcomers = self._start(self._workers)

    def _finish_reload(self) -> None:
        """Let the old processes go once all new ones serve."""
        if not self._newcomers:
            return
        if any(child.has_ended() for child in self._newcomers):
            logger.error("A new process ended before it served; the old ones go on.")
            self._retire(self._newcomers, signal.SIGTERM)
            self._newcomers = []
            self._say_ready()
        elif all(child.is_ready for child in self._newcomers):
            self._retire(self._children, signal.SIGHUP)
            self._children, self._newcomers = self._newcomers, []
            logger.info("Reloaded.")
            self._say_ready()

    def _retire(self, children: Iterable[Child], number: signal.Signals) -> None:
        _send(children, number)
        self._leaving += children

    def _replace_dead(self) -> None:
        dead = [child for child in self._children if _bury(child)]
        for child in dead:
            logger.error(
                "Process %d ended with status %d.", child.process.pid, child.process.returncode
            )
            self._failures = 0 if child.is_ready else self._failures + 1
            self._next_start = time.monotonic() + min(MAX_BACKOFF, 0.1 * 2**self._failures)
        self._children = [child for child in self._children if child not in dead]
        if time.monotonic() >= self._next_start:
            self._children += self._start(self._workers - len(self._children))

    def _stop(self, children: list[Child]) -> None:
        _send(children, signal.SIGTERM)
        deadline = time.monotonic() + self._patience
        for child in children:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.error("Process %d did not end; killing it.", child.process.pid)
                child.process.kill()
                child.process.wait()
            child.lifeline.close()

    def _say_ready(self) -> None:
        notify.ready(f"{self._workers} processes hold websockets")


def _wait_for(signals: Iterable[signal.Signals]) -> int | None:
    """Return the number of the next signal; None if none comes for a while."""
    found = signal.sigtimedwait(signals, TICK)
    return None if found is None else found.si_signo


def _send(children: Iterable[Child], number: signal.Signals) -> None:
    for child in children:
        if not child.has_ended():
            # One that does not serve yet holds signals back, and nobody would miss it.
            child.process.send_signal(number if child.is_ready else signal.SIGKILL)


def _bury(child: Child) -> bool:
    """Return whether a process is gone, and close what is left of it."""
    if child.has_ended():
        child.lifeline.close()
        return True
    return False
