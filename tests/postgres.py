"""A private PostgreSQL on a unix socket."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.servers import end
from tests.waiting import wait_for


def _program(name: str) -> str:
    """Return the path of one of its programs; Debian keeps them where no PATH leads."""
    known = [shutil.which(name), *sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))]
    found = [path for path in known if path is not None]
    assert found, f"there is no {name}: run tests/packages.sh"
    return str(found[-1])


def _user() -> str | None:
    """Return whose server it is to be, as it refuses to be root's; None for the own one."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


class PostgresServer:
    """A server with one database, that trusts everybody who reaches its socket."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="ws4redis-pg-"))
        self._user = _user()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        data = self._directory / "data"
        if self._user is not None:
            shutil.chown(self._directory, self._user)
        command = [_program("initdb"), "-D", str(data), "-U", "ws4redis", "-A", "trust", "-N"]
        subprocess.run(
            command, user=self._user, cwd="/", check=True, stdout=subprocess.DEVNULL, timeout=60
        )
        command = [_program("postgres"), "-D", str(data), "-k", str(self._directory)]
        command += ["-c", "listen_addresses=", "-c", "fsync=off"]
        self._process = subprocess.Popen(
            command, user=self._user, cwd="/", stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        wait_for(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            # Without waiting for its clients.
            end(self._process, signal.SIGINT)
        shutil.rmtree(self._directory, ignore_errors=True)

    def settings(self) -> dict[str, Any]:
        """Return what Django has to know of it."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "USER": "ws4redis",
            "HOST": str(self._directory),
        }

    def _answers(self) -> bool:
        command = [_program("pg_isready"), "-q", "-h", str(self._directory)]
        return subprocess.run(command, check=False).returncode == 0
