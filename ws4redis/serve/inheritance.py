"""What a process of ``serve`` gets from the one that started it: listeners and a lifeline."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ws4redis.serve.listener import from_descriptors

_VARIABLE = "_WS4REDIS_INHERITANCE"


@dataclass(frozen=True, slots=True)
class Inheritance:
    """Open sockets of the parent."""

    listeners: tuple[socket.socket, ...]
    lifeline: socket.socket | None = None
    """Takes a byte when the process serves, and ends when its supervisor is gone."""


def read(environ: Mapping[str, str]) -> Inheritance | None:
    """Return what was inherited; None in a process that was started by somebody else."""
    if _VARIABLE not in environ:
        return None
    lifeline, _, listeners = environ[_VARIABLE].partition("/")
    return Inheritance(
        tuple(from_descriptors(int(descriptor) for descriptor in listeners.split(","))),
        from_descriptors([int(lifeline)])[0] if lifeline else None,
    )


def environment(
    listeners: Sequence[socket.socket], lifeline: socket.socket | None = None
) -> dict[str, str]:
    """Return the environment of a process that is to inherit some sockets."""
    numbers = ",".join(str(listener.fileno()) for listener in listeners)
    first = "" if lifeline is None else str(lifeline.fileno())
    return {**os.environ, _VARIABLE: f"{first}/{numbers}"}


def command() -> list[str]:
    """Return the command by which this process was started."""
    return [sys.executable, *sys.orig_argv[1:]]
