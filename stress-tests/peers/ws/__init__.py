"""The npm package ``ws`` on Node, which follows the same channel of Redis as we do."""

from __future__ import annotations

from pathlib import Path

from contenders import Contender
from publishers import CHANNEL

from peers.installation import NODE_MODULES, needs_node, node

SERVER = Path(__file__).resolve().parent / "server.mjs"


def _command(port: int, redis_path: Path) -> list[str]:
    return [node(), str(SERVER), str(port), str(redis_path), CHANNEL]


CONTENDER = Contender(
    title="ws on Node",
    command=_command,
    environment={"NODE_ENV": "production"},
    missing=needs_node(NODE_MODULES / "ws", NODE_MODULES / "redis"),
    is_peer=True,
)
