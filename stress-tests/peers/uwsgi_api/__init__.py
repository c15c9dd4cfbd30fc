"""uWSGI's own websockets, in the way of django-websocket-redis: a greenlet for each client."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

from contenders import Contender

HERE = Path(__file__).resolve().parent
UWSGI = Path(sys.prefix, "from-source", "bin", "uwsgi")
"""The wheel has no OpenSSL, without which there are no websockets."""
GREENLETS = 12_000
"""Clients at a time: one holds its greenlet for as long as it is there."""


def _command(port: int, redis_path: Path) -> list[str]:
    return [
        *[str(UWSGI), "--http-socket", f"127.0.0.1:{port}", "--gevent", str(GREENLETS)],
        *["--virtualenv", sys.prefix, "--module", "application", "--listen", "1024"],
        *["--die-on-term", "--need-app", "--disable-logging"],
    ]


@cache
def _missing() -> str:
    if not UWSGI.exists():
        return "there is no uWSGI built from source; run make bench-peers"
    flags = subprocess.run([str(UWSGI), "--cflags"], capture_output=True, check=False).stdout
    return "" if b"-DUWSGI_SSL" in flags else "this uWSGI was built without OpenSSL"


CONTENDER = Contender(
    title="uWSGI's own websockets",
    command=_command,
    directory=HERE,
    missing=_missing,
    is_peer=True,
)
