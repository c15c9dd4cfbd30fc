"""What the process of ``serve`` does: hold websockets itself, or supervise others that do."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ws4redis.serve import inheritance, listener, notify
from ws4redis.serve.supervisor import Supervisor
from ws4redis.serve.worker import SIGNALS, Worker

DEFAULT_BIND = "127.0.0.1:8001"
MANY_FILES = 2**20
"""More than one process can hold websockets."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where websockets are accepted."""

    listeners: tuple[socket.socket, ...]
    own: tuple[str, ...] = ()
    """Addresses that this process opened itself, and has to clean up."""
    parent: inheritance.Inheritance | None = None

    def __str__(self) -> str:
        return ", ".join(listener.name(one) for one in self.listeners)


def find_places(binds: Sequence[str] | None, rights: listener.UnixRights) -> Places:
    """Return the listeners: inherited, from systemd, or opened here.

    Raises:
        ValueError: An address is malformed or taken.
    """
    if (parent := inheritance.read(os.environ)) is not None:
        own = tuple(binds or ()) if parent.lifeline is None else ()
        return Places(parent.listeners, own, parent)
    if from_systemd := listener.from_systemd(os.environ, os.getpid()):
        return Places(tuple(from_systemd))
    binds = binds or [DEFAULT_BIND]
    return Places(tuple(_open(bind, rights) for bind in binds), tuple(binds))


def run(places: Places, workers: int, drain_time: float, announce: Callable[[str], None]) -> int:
    """Serve until a signal says stop; return the exit status."""
    _allow_files()
    is_child = places.parent is not None and places.parent.lifeline is not None
    if workers > 1 and not is_child:
        supervisor = Supervisor(
            places.listeners, workers, drain_time, lambda: announce(str(places))
        )
        status = supervisor.run()
    else:
        status = _work(places, announce)
    listener.remove_files(list(places.own))
    return status


def _allow_files() -> None:
    """Raise the limit on open files as far as an ordinary user may: each websocket takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < possible:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))


def _work(places: Places, announce: Callable[[str], None]) -> int:
    address = str(places)
    worker = Worker(places.listeners)
    worker.start()
    lifeline = places.parent.lifeline if places.parent is not None else None
    if lifeline is not None:
        worker.follow(lifeline)
    else:
        announce(address)
        notify.ready("holds websockets")
    is_reload = worker.wait()
    if lifeline is None:
        notify.reloading() if is_reload else notify.stopping()
    worker.stop(has_successor=is_reload)
    if is_reload and lifeline is None:
        _start_again(places)
    return 0


def _start_again(places: Places) -> None:
    """Become a new process with the code and the settings of now, on the same listeners."""
    for one in places.listeners:
        one.set_inheritable(True)
    # Until the new code listens to them again.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    arguments = inheritance.command()
    os.execve(arguments[0], arguments, inheritance.environment(places.listeners))


def _open(bind: str, rights: listener.UnixRights) -> socket.socket:
    try:
        return listener.open_listener(bind, rights)
    except (OSError, ValueError) as error:
        raise ValueError(f"Can't listen at {bind!r}: {error}") from error
