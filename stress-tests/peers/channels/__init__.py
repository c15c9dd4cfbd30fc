"""Django Channels with its layer on Redis, behind the two servers that its users take."""

from __future__ import annotations

from pathlib import Path

from contenders import Contender
from publishers import program_publisher

from peers.installation import PYTHON, needs

HERE = Path(__file__).resolve().parent
SITE = HERE / "site"
BACKLOG = "1024"


def _daphne(port: int, redis_path: Path) -> list[str]:
    # Its own limit is 60 seconds for all, however many come at once.
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


PUBLISHER = program_publisher(str(PYTHON), str(HERE / "publish.py"))

DAPHNE = Contender(
    title="Channels on Daphne",
    command=_daphne,
    directory=SITE,
    address="/ws/bench",
    publisher=PUBLISHER,
    missing=needs(PYTHON),
    max_rate=4,
    is_peer=True,
)
UVICORN = Contender(
    title="Channels on Uvicorn",
    command=_uvicorn,
    directory=SITE,
    address="/ws/bench",
    publisher=PUBLISHER,
    missing=needs(PYTHON),
    max_rate=5,
    is_peer=True,
)
