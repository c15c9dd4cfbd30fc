"""Socket.IO on Node with its adapter for Redis, published to as its emitter does."""

from __future__ import annotations

from pathlib import Path

from contenders import Contender
from publishers import program_publisher

from peers.installation import NODE_MODULES, PYTHON, needs_node, node

HERE = Path(__file__).resolve().parent


def _command(port: int, redis_path: Path) -> list[str]:
    return [node(), str(HERE / "server.mjs"), str(port), str(redis_path)]


CONTENDER = Contender(
    title="Socket.IO on Node",
    command=_command,
    environment={"NODE_ENV": "production"},
    address="/socket.io/?EIO=4&transport=websocket",
    dialect="socketio",
    publisher=program_publisher(str(PYTHON), str(HERE / "publish.py")),
    missing=needs_node(
        NODE_MODULES / "socket.io", NODE_MODULES / "@socket.io" / "redis-adapter", PYTHON
    ),
    is_peer=True,
)
