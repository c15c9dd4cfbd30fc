"""Sites that lack what most have, or allow less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_facility import BOTH, publish, receive
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


def test_with_a_ready_made_policy_nobody_but_django_publishes(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    policy = {"WS4REDIS_ALLOWED_CHANNELS": "ws4redis.policies.subscribe_only"}
    with serving("serve", tmp_path, redis_server.url, **policy) as server:
        client = open_websocket(server.url(f"{facility}?{BOTH}&echo"))
        assert client.response.headers["X-WS4Redis-Refused"] == "publish-broadcast (not allowed)"
        client.send("not to be heard")
        publish(facility, "from Django")
        assert receive(client) == "from Django"
