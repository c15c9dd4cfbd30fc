"""Every command and file of the tutorial, in the order of the page."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from tests.deployments import is_listening
from tests.servers import ROOT, RedisServer, free_port
from tests.waiting import PATIENCE, wait_for

BLOCK = re.compile(r"```\{code-block\} (\w+)\n(?::caption: (\S+)\n)?\n?(.*?)```", re.DOTALL)
PIP = """#!/bin/sh
# The package is the one under test, and installed already.
[ "$*" = "install ws4redis" ] || { echo "unexpected: pip $*" >&2; exit 1; }
"""


class Reader:
    """Somebody who types what the tutorial says."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.server: subprocess.Popen[bytes] | None = None
        self.log = directory / "server.log"
        commands = directory / "bin"
        commands.mkdir()
        (commands / "pip").write_text(PIP)
        (commands / "pip").chmod(0o755)
        for name in ("python", "python3"):
            (commands / name).write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
            (commands / name).chmod(0o755)
        admin = Path(sys.executable).parent / "django-admin"
        (commands / "django-admin").symlink_to(admin)
        self._redis_url = redis_url
        self._environment = {
            **os.environ,
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }
        del self._environment["DJANGO_SETTINGS_MODULE"]

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write(text)
            if name.endswith("settings.py"):
                file.write(f'\nWS4REDIS_CONNECTION = "{self._redis_url}"\n')

    def type(self, line: str) -> None:
        if line.startswith("cd "):
            self.directory /= line.removeprefix("cd ")
        elif line.endswith(" runserver"):
            self._serve(f"{line} {self.port}")
        elif not line.startswith((". ", "python3 -m venv")):
            # Making and entering a virtual environment would only hide the package under test.
            subprocess.run(line, shell=True, cwd=self.directory, env=self._environment, check=True)

    def _serve(self, line: str) -> None:
        with self.log.open("wb") as output:
            self.server = subprocess.Popen(
                f"exec {line}",
                shell=True,
                cwd=self.directory,
                env=self._environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        # Some versions of Django say that they start before they listen.
        wait_for(lambda: is_listening(self.port), 2 * PATIENCE)
        wait_for(lambda: "Starting development server" in self.log.read_text())

    def stop(self) -> None:
        if self.server is not None:
            os.killpg(self.server.pid, signal.SIGTERM)
            self.server.wait(PATIENCE)


def test_the_tutorial_leads_to_a_first_push(tmp_path: Path, redis_server: RedisServer) -> None:
    reader = Reader(tmp_path, redis_server.url)
    page = (ROOT / "docs" / "tutorial" / "first-push.md").read_text()
    blocks = BLOCK.findall(page)
    assert len(blocks) == page.count("```{code-block}")
    received: list[Any] = []
    try:
        for language, name, text in blocks:
            if language != "sh":
                reader.write(name, text)
                continue
            for line in text.strip().splitlines():
                if "shell -c" in line:
                    address = f"ws://127.0.0.1:{reader.port}/ws/news?subscribe-broadcast"
                    with connect(address, proxy=None, open_timeout=PATIENCE) as websocket:
                        reader.type(line)
                        received.append(websocket.recv(timeout=PATIENCE))
                else:
                    reader.type(line)
        assert received == ["Hello from the shell"]
        assert_the_page_is_served(reader.port)
    finally:
        reader.stop()
    assert "WARNINGS" not in reader.log.read_text()


def assert_the_page_is_served(port: int) -> None:
    curl = shutil.which("curl")
    assert curl is not None
    result = subprocess.run(
        [curl, "-sf", f"http://127.0.0.1:{port}/"], capture_output=True, check=True
    )
    assert f'uri: "ws://127.0.0.1:{port}/ws/news?subscribe-broadcast"' in result.stdout.decode()
