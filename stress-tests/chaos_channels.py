"""Django Channels as its documentation sets it up, with two processes of Uvicorn."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peers.installation import HERE, PYTHON, needs

from tests.deployments import free_port, is_listening
from tests.losses.sites import Site
from tests.servers import end
from tests.waiting import wait_for

NAME = "Channels"
DJANGO = HERE / "channels" / "site"
CAPACITY = "100"
"""What Channels takes if nobody says anything."""

is_missing = needs(PYTHON)


@contextmanager
def channels(directory: Path, redis_url: str, **settings: Any) -> Iterator[Site]:
    """Run a site of Channels; our settings mean nothing to it."""
    port = free_port()
    command = [
        *[str(PYTHON), "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port)],
        *["--workers", "2", "--no-access-log", "--log-level", "warning", "--lifespan", "off"],
        *["--backlog", "4096", "asgi:application"],
    ]
    own = {"CHANNEL_LAYER": "core.RedisChannelLayer", "CHANNEL_CAPACITY": CAPACITY}
    environment = {
        **os.environ,
        **own,
        "REDIS_URL": redis_url,
        "DJANGO_SETTINGS_MODULE": "settings",
    }
    with (directory / "channels.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=DJANGO, env=environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: is_listening(port))
        yield Site(
            process=process,
            url=f"ws://127.0.0.1:{port}/ws/bench?",
            audiences={NAME: "plain"},
            publisher=(str(PYTHON), str(HERE / "channels" / "publish_numbered.py")),
            environment=own,
        )
    finally:
        end(process)
