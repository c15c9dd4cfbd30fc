"""What a server has to tell about itself so that the benchmark can start it and speak with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from programs import SITE
from publishers import OpenPublisher, redis_publisher

ADDRESS = "/ws/bench?subscribe-broadcast"


def nothing() -> str:
    """Say that nothing is missing."""
    return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """A server that takes part."""

    title: str
    """What it is, for people."""
    command: Callable[[int, Path], list[str]]
    """How it is started at a port, with its Redis at the path of a socket.

    In that path's directory it may leave files.
    """
    directory: Path = SITE
    """Where it is started."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables, besides those that say where Redis is."""
    address: str = ADDRESS
    """Path and query of its websockets."""
    dialect: str = "plain"
    """How its clients speak: one of those that ``load.c`` knows."""
    publisher: OpenPublisher = redis_publisher
    """How one publishes to it."""
    missing: Callable[[], str] = nothing
    """Why it can't run here; empty if it can."""
    max_rate: float = math.inf
    """Messages in a second to 1000 clients that it keeps up with on one core."""
    is_peer: bool = False
    """Whether it is not ours."""
