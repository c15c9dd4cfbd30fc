"""Where ``make bench-peers`` puts what it installs, and what is said if it is not there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = HERE / ".venv" / "bin" / "python"
"""The Python that has the packages of the peers, which are none of ours."""
NODE_MODULES = HERE / "node_modules"


def needs(*paths: Path) -> Callable[[], str]:
    """Return a function that says which of these files is not there."""

    def missing() -> str:
        absent = [str(path).removeprefix(f"{HERE}/") for path in paths if not path.exists()]
        return f"there is no {' and no '.join(absent)}; run make bench-peers" if absent else ""

    return missing


def node() -> str:
    """Return the path of Node, or its name if it is not there."""
    return shutil.which("node") or "node"


def needs_node(*paths: Path) -> Callable[[], str]:
    """Return a function that says whether Node, or one of these files, is not there."""
    missing = needs(*paths)
    return lambda: missing() if shutil.which("node") else "there is no Node; run make bench-peers"
