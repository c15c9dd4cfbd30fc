"""What a process of ``serve`` gets from the one that started it: listeners and a lifeline."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import astuple, dataclass

from ws4redis.serve.listener import Places, SocketFile, from_descriptors

_VARIABLE = "_WS4REDIS_INHERITANCE"
_TRIAL = "_WS4REDIS_TRIAL"


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What the parent had open."""

    places: Places
    lifeline: socket.socket | None = None
    """Takes a byte when the process serves, and ends when its supervisor is gone."""


def read(environ: Mapping[str, str]) -> Inheritance | None:
    """Return what was inherited; None in a process that was started by somebody else."""
    if _VARIABLE not in environ:
        return None
    given = json.loads(environ[_VARIABLE])
    files = tuple(SocketFile(*file) for file in given["files"])
    places = Places(tuple(from_descriptors(given["listeners"])), files)
    lifeline = given["lifeline"]
    return Inheritance(places, from_descriptors([lifeline])[0] if lifeline is not None else None)


def for_successor(places: Places) -> dict[str, str]:
    """Return the environment of the process that is to take the place of this one."""
    return _environment(places, places.files, None)


def for_child(places: Places, lifeline: socket.socket) -> dict[str, str]:
    """Return the environment of a process that this one will supervise."""
    return _environment(places, (), lifeline.fileno())


def for_trial() -> dict[str, str]:
    """Return the environment of a process that only finds out whether the code starts."""
    return {**os.environ, _TRIAL: "yes"}


def is_trial(environ: Mapping[str, str]) -> bool:
    """Whether this process is to do nothing but start."""
    return _TRIAL in environ


def command() -> list[str]:
    """Return the command by which this process was started."""
    return [sys.executable, *sys.orig_argv[1:]]


def _environment(
    places: Places, files: tuple[SocketFile, ...], lifeline: int | None
) -> dict[str, str]:
    given = {
        "listeners": [listener.fileno() for listener in places.listeners],
        "files": [astuple(file) for file in files],
        "lifeline": lifeline,
    }
    return {**os.environ, _VARIABLE: json.dumps(given)}
