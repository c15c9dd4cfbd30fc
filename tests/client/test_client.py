"""The browser client: its own tests, and that the built files are those of its sources."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers import ROOT

CLIENT = ROOT / "client"
BUILT = ROOT / "ws4redis" / "static" / "js"


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    if not (CLIENT / "node_modules").exists():
        npm("install")


def npm(*arguments: str) -> None:
    executable = shutil.which("npm")
    assert executable is not None
    result = subprocess.run(
        [executable, *arguments], cwd=CLIENT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_types_are_right() -> None:
    npm("run", "check")


def test_the_tests_of_the_client_pass() -> None:
    npm("test")


def test_the_built_files_are_those_of_the_sources(tmp_path: Path) -> None:
    npm("run", "build", "--", str(tmp_path))
    built = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert built == {path.name: path.read_text() for path in BUILT.iterdir()}, "run `make client`"
