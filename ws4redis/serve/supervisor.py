"""Several processes that share the listeners, replaced when they die or when a reload is asked."""

from __future__ import annotations

import contextlib
import logging
import math
import select
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ws4redis.serve import inheritance, notify
from ws4redis.serve.listener import Places
from ws4redis.serve.worker import LINKED, SERVES

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
TICK = 0.1
"""Seconds between two looks at the processes if no signal comes."""
GRACE = 5.0
"""Seconds beyond the drain time that a process has to end before it is killed."""
LINK_PATIENCE = 10.0
"""Seconds that the processes of a reload have to get their links to Redis."""
MAX_BACKOFF = 5.0
"""Seconds at most between two attempts to replace a process that can't start; they double."""


@dataclass(eq=False)
class Child:
    """One process that holds websockets."""

    process: subprocess.Popen[bytes]
    lifeline: socket.socket
    """Says how far the process is; the process stops when this end is closed."""
    is_ready: bool = False
    is_linked: bool = False
    """Whether the process has had its link to Redis."""
    deadline: float = math.inf
    """When it is killed if it has not ended; by the monotonic clock."""

    def look(self) -> None:
        """Note whether the process serves by now, and kill it if it should have ended."""
        with contextlib.suppress(BlockingIOError):
            news = self.lifeline.recv(16)
            self.is_ready = self.is_ready or SERVES in news
            self.is_linked = self.is_linked or LINKED in news
        if time.monotonic() > self.deadline and not self.has_ended():
            logger.error("Process %d did not end; killing it.", self.process.pid)
            self.process.kill()

    def dismiss(self, number: signal.Signals, patience: float) -> None:
        """Tell the process to end, with a signal, and set its deadline."""
        self.deadline = min(self.deadline, time.monotonic() + patience)
        if not self.has_ended():
            self.process.send_signal(number)

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None

    def is_buried(self) -> bool:
        """Whether the process is gone; then nothing of it is left."""
        if self.has_ended():
            self.lifeline.close()
        return self.has_ended()


class Signals:
    """The signals that this process got, in their order, whichever of its threads they hit."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._got: deque[int] = deque()
        self._wakeup, far_end = socket.socketpair()
        self._wakeup.setblocking(False)
        far_end.setblocking(False)
        signal.set_wakeup_fd(far_end.detach(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda number, _: self._got.append(number))

    def wait(self) -> None:
        """Wait until a signal comes, but not for long."""
        if select.select([self._wakeup], [], [], TICK)[0]:
            self._wakeup.recv(4096)

    def take(self, *numbers: int) -> bool:
        """Return whether one of some signals came, and forget that it did."""
        came = [number for number in self._got if number in numbers]
        for number in came:
            self._got.remove(number)
        return bool(came)


class Supervisor:
    """Keeps a number of processes running.

    Args:
        places: Where they accept websockets.
        workers: How many there are to be.
        drain_time: Seconds that a process may take to close its websockets.
        on_ready: Called once when all of them serve.
        command: Starts one of them.
    """

    def __init__(
        self,
        places: Places,
        workers: int,
        drain_time: float,
        on_ready: Callable[[], None],
        command: Sequence[str],
    ) -> None:
        self._command = command
        self._places = places
        self._workers = workers
        self._patience = drain_time + GRACE
        self._on_ready = on_ready
        self._signals = Signals((*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD))
        self._children: list[Child] = []
        self._newcomers: list[Child] = []
        self._leaving: list[Child] = []
        self._failures = 0
        self._next_start = 0.0
        self._give_up = 0.0

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; return the exit status."""
        try:
            return self._run()
        finally:
            self._places.close()
            self._end_all()

    def _run(self) -> int:
        if (status := self._start_first()) is not None:
            return status
        self._on_ready()
        self._say_ready()
        while not self._signals.take(*STOP_SIGNALS):
            if self._signals.take(signal.SIGHUP):
                self._begin_reload()
            self._look()
            self._signals.wait()
        notify.stopping()
        return 0

    def _start_first(self) -> int | None:
        """Start the first processes; return an exit status if they don't serve."""
        self._children = self._start(self._workers)
        while not all(child.is_ready for child in self._children):
            self._signals.wait()
            if self._signals.take(*STOP_SIGNALS):
                return 0
            _look_at(self._children)
            if any(child.has_ended() for child in self._children):
                break
        if len(self._children) == self._workers and all(one.is_ready for one in self._children):
            return None
        logger.error("A process ended before it served; giving up.")
        return 1

    def _start(self, count: int) -> list[Child]:
        """Start processes; fewer if the system can't start them now."""
        children: list[Child] = []
        for _ in range(count):
            try:
                children.append(self._start_one())
            except OSError as error:
                logger.error("A process could not be started: %s", error)
                break
        return children

    def _start_one(self) -> Child:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            listeners = [listener.fileno() for listener in self._places.listeners]
            try:
                process = subprocess.Popen(
                    self._command,
                    env=inheritance.for_child(self._places, theirs),
                    pass_fds=[theirs.fileno(), *listeners],
                    # Ctrl-C is for the supervisor, which tells the others.
                    process_group=0,
                )
            except OSError:
                ours.close()
                raise
        return Child(process, ours)

    def _look(self) -> None:
        """Go on with a reload, and replace the processes that died."""
        _look_at((*self._newcomers, *self._children, *self._leaving))
        self._leaving = [child for child in self._leaving if not child.is_buried()]
        self._finish_reload()
        self._replace_dead()

    def _begin_reload(self) -> None:
        logger.info("Reloading: starting %d new processes.", self._workers)
        notify.reloading()
        self._retire(self._newcomers, signal.SIGTERM)
        self._newcomers = self._start(self._workers)
        self._give_up = time.monotonic() + LINK_PATIENCE
        if len(self._newcomers) < self._workers:
            self._fail_reload("could not be started")

    def _finish_reload(self) -> None:
        """Let the old processes go once all new ones can open websockets."""
        if not self._newcomers:
            return
        if any(child.has_ended() for child in self._newcomers):
            self._fail_reload("ended before it served")
        elif all(child.is_linked for child in self._newcomers):
            self._retire(self._children, signal.SIGHUP)
            self._children, self._newcomers = self._newcomers, []
            logger.info("Reloaded.")
            self._say_ready()
        elif time.monotonic() > self._give_up:
            self._fail_reload("got no link to Redis")

    def _fail_reload(self, reason: str) -> None:
        logger.error("A new process %s; the old ones go on.", reason)
        self._retire(self._newcomers, signal.SIGTERM)
        self._newcomers = []
        self._say_ready()

    def _retire(self, children: Iterable[Child], number: signal.Signals) -> None:
        for child in children:
            child.dismiss(number, self._patience)
            self._leaving.append(child)

    def _replace_dead(self) -> None:
        dead = [child for child in self._children if child.is_buried()]
        for child in dead:
            logger.error(
                "Process %d ended with status %d.", child.process.pid, child.process.returncode
            )
            self._failures = 0 if child.is_ready else self._failures + 1
            self._next_start = time.monotonic() + min(MAX_BACKOFF, 0.1 * 2**self._failures)
        self._children = [child for child in self._children if child not in dead]
        missing = self._workers - len(self._children)
        if missing and time.monotonic() >= self._next_start:
            started = self._start(missing)
            self._children += started
            if len(started) < missing:
                self._next_start = time.monotonic() + MAX_BACKOFF

    def _end_all(self) -> None:
        remaining = [*self._children, *self._newcomers, *self._leaving]
        for child in remaining:
            child.dismiss(signal.SIGTERM, self._patience)
        while remaining := [child for child in remaining if not child.is_buried()]:
            self._signals.wait()
            _look_at(remaining)

    def _say_ready(self) -> None:
        notify.ready(f"{self._workers} processes hold websockets")


def _look_at(children: Iterable[Child]) -> None:
    for child in children:
        child.look()
