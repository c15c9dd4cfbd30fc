"""What the process of ``serve`` does: hold websockets itself, or supervise others that do."""

from __future__ import annotations

import logging
import os
import resource
import signal
from collections.abc import Callable, Sequence

import gevent.subprocess

from ws4redis.serve import inheritance, notify
from ws4redis.serve.inheritance import Inheritance
from ws4redis.serve.listener import Places, UnixRights, from_systemd, open_places
from ws4redis.serve.supervisor import Supervisor
from ws4redis.serve.worker import SIGNALS, Worker

logger = logging.getLogger(__name__)

DEFAULT_BIND = "127.0.0.1:8001"
MANY_FILES = 2**20
"""More than one process can hold websockets."""


def inherit(binds: Sequence[str] | None, rights: UnixRights) -> Inheritance:
    """Return where to listen: what the parent or systemd opened, or what is opened now.

    Raises:
        ValueError: An address is malformed or taken, or there is one too many.
    """
    if (parent := inheritance.read(os.environ)) is not None:
        return parent
    if listeners := from_systemd(os.environ, os.getpid()):
        if binds:
            raise ValueError(f"systemd hands over sockets, so --bind {binds[0]} can't be given.")
        return Inheritance(Places(tuple(listeners)))
    return Inheritance(open_places(binds or [DEFAULT_BIND], rights))


def run(
    inherited: Inheritance,
    workers: int,
    drain_time: float,
    announce: Callable[[str], None],
    command: Sequence[str],
) -> int:
    """Serve until a signal says stop; return the exit status.

    Args:
        inherited: Where, and for whom.
        workers: The number of processes.
        drain_time: Seconds that a process may take to close its websockets.
        announce: Tells that it serves.
        command: Starts another process like this one.
    """
    _allow_files()
    places = inherited.places
    address = str(places)
    if workers > 1 and inherited.lifeline is None:
        return Supervisor(places, workers, drain_time, lambda: announce(address), command).run()
    worker = Worker(places)
    worker.start()
    if inherited.lifeline is not None:
        worker.follow(inherited.lifeline)
        worker.stop(has_successor=worker.wait())
    else:
        announce(address)
        _work_alone(worker, places, command)
    return 0


def _allow_files() -> None:
    """Raise the limit on open files as far as an ordinary user may: each websocket takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < possible:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))


def _work_alone(worker: Worker, places: Places, command: Sequence[str]) -> None:
    notify.ready("holds websockets")
    while worker.wait():
        notify.reloading()
        if _starts(command) or worker.must_stop:
            break
        logger.error("The new code does not start; the old goes on.")
        notify.ready("holds websockets; the last reload failed")
    if worker.must_stop:
        notify.stopping()
    is_reload = not worker.must_stop
    worker.stop(has_successor=is_reload)
    # From here on, a signal waits until the new code listens to it.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    if not worker.must_stop:
        _start_again(places, command)
    elif is_reload:
        places.close()


def _starts(command: Sequence[str]) -> bool:
    """Whether the code and the settings of now start: once the old code is gone it is too late."""
    trial = gevent.subprocess.run(command, env=inheritance.for_trial())
    return bool(trial.returncode == 0)


def _start_again(places: Places, command: Sequence[str]) -> None:
    """Become a new process with the code and the settings of now, on the same listeners."""
    for listener in places.listeners:
        listener.set_inheritable(True)
    os.execve(command[0], list(command), inheritance.for_successor(places))
