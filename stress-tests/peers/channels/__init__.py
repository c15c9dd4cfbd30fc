"""Django Channels with its layer on Redis, behind the two servers that its users take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from contenders import Contender
from publishers import program_publisher

from peers.installation import PYTHON, needs

HERE = Path(__file__).resolve().parent
DJANGO = HERE / "site"
BACKLOG = "4096"
QUEUES = "core.RedisChannelLayer"
"""The layer that the documentation of Channels tells to take."""
PUBSUB_LAYER = "pubsub.RedisPubSubChannelLayer"
"""The one that costs less, which is called beta."""


def _daphne(port: int, redis_path: Path) -> list[str]:
    return [
        *[str(PYTHON), "-m", "daphne", "--bind", "127.0.0.1", "--port", str(port)],
        *["--no-server-name", "--verbosity", "0", "asgi:application"],
    ]


def _uvicorn(port: int, redis_path: Path) -> list[str]:
    return [
        *[str(PYTHON), "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port)],
        *["--loop", "uvloop", "--http", "httptools", "--ws", "websockets-sansio"],
        *["--ws-per-message-deflate", "false", "--no-access-log", "--log-level", "warning"],
        *["--backlog", BACKLOG, "--lifespan", "off", "asgi:application"],
    ]


def _contender(
    title: str, command: Callable[[int, Path], list[str]], layer: str, max_rate: float
) -> Contender:
    return Contender(
        title=f"{title}, {layer}",
        command=command,
        directory=DJANGO,
        environment={"CHANNEL_LAYER": layer},
        address="/ws/bench",
        publisher=program_publisher(str(PYTHON), str(HERE / "publish.py"), layer),
        missing=needs(PYTHON),
        max_rate=max_rate,
        is_peer=True,
    )


# They have to keep up while the other core, and part of theirs, is somebody else's. Seen with 1000
# clients: half of the messages took 0.2 s at 3/s and 1.7 s or more from 4/s on, with all of a core.
UVICORN = _contender("Channels on Uvicorn", _uvicorn, QUEUES, max_rate=2)
# 0.3 s at 2/s and 3/s, 2 s or more from 4/s on.
DAPHNE = _contender("Channels on Daphne", _daphne, QUEUES, max_rate=1.5)
# 0.15 s at 5/s, 2.9 s at 10/s.
PUBSUB = _contender("Channels on Uvicorn", _uvicorn, PUBSUB_LAYER, max_rate=3)
