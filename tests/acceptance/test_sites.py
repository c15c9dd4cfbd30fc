"""Sites that lack what most have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_facility import BOTH, receive
from tests.servers import RedisServer, serving

APPS = {
    "nothing": ["ws4redis"],
    "sessions only": ["ws4redis", "django.contrib.contenttypes", "django.contrib.sessions"],
}


@pytest.mark.parametrize("name", APPS)
def test_a_site_without_users_has_websockets(
    name: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    settings = {"INSTALLED_APPS": APPS[name], "MIDDLEWARE": []}
    with serving("serve", tmp_path, redis_server.url, **settings) as server:
        client = open_websocket(server.url(f"{facility}?{BOTH}&echo&subscribe-user"))
        client.send("from nobody")
        assert receive(client) == "from nobody"
        refused = client.response.headers["X-WS4Redis-Refused"]
        assert refused == "subscribe-user (nobody is logged in)"
        assert "Traceback" not in server.log
