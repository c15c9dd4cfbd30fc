"""What a site behind nginx sees of its visitors."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.acceptance.test_facility import receive
from tests.deployments import is_listening, nginx
from tests.raw import RawClient
from tests.servers import RedisServer, end, free_port, serving
from tests.waiting import wait_for
from ws4redis.publisher import RedisPublisher


@pytest.mark.parametrize("kind", ["nginx-unix", "nginx-upgrade"])
def test_the_log_names_the_client_and_not_the_proxy(
    kind: str, tmp_path: Path, redis_server: RedisServer, users: Any, facility: str
) -> None:
    settings = {"WS4REDIS_TRUSTED_PROXIES": ["unix", "127.0.0.1"], **LOGGING}
    with serving(kind, tmp_path, redis_server.url, **settings) as server:
        RawClient.ask(server, f"/ws/{facility}", {"X-Forwarded-For": "203.0.113.7"})
        # nginx puts the address of its own client behind it, which is as trusted as itself here.
        wait_for(lambda: f"Opened '/ws/{facility}' for 203.0.113.7" in server.log)


def test_nobody_is_believed_by_default(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str
) -> None:
    with serving("nginx-upgrade", tmp_path, redis_server.url, **LOGGING) as server:
        RawClient.ask(server, f"/ws/{facility}", {"X-Forwarded-For": "203.0.113.7"})
        wait_for(lambda: f"Opened '/ws/{facility}' for 127.0.0.1" in server.log)


LOGGING = {
    "LOGGING": {
        "version": 1,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "loggers": {"ws4redis": {"handlers": ["console"], "level": "INFO"}},
    }
}


def test_pages_behind_tls_open_websockets_with_tls(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    with serving("nginx-tls", tmp_path, redis_server.url) as server:
        with urllib.request.urlopen(f"{server.page}/address", context=server.tls()) as page:
            address = page.read().decode()
        assert address == f"wss://{server.host}/ws/"
        client = open_websocket(f"{address}{facility}?subscribe-broadcast")
        RedisPublisher(facility=facility, broadcast=True).publish_message("through TLS")
        assert receive(client) == "through TLS"


DOCUMENTED = """
server {{
    listen {public};
    location /ws/ {{
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_pass http://{loop};
    }}
}}
"""
"""What django-websocket-redis documented: the loop gets no Host header of the client."""


@pytest.mark.parametrize("kind", ["uwsgi", "serve", "gunicorn-gthread"])
def test_the_old_configuration_of_nginx_works_as_it_stands(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    hosts = ["127.0.0.1"]
    with serving(kind, tmp_path, redis_server.url, ALLOWED_HOSTS=hosts) as server:
        port = free_port()
        configuration = server.run / "old.conf"
        configuration.write_text(DOCUMENTED.format(public=f"127.0.0.1:{port}", loop=server.host))
        process = subprocess.Popen(nginx(server.run, configuration))
        try:
            url = f"ws://127.0.0.1:{port}/ws/{facility}?subscribe-broadcast"
            wait_for(lambda: is_listening(port))
            client = open_websocket(url, headers={"Origin": f"http://127.0.0.1:{port}"})
            RedisPublisher(facility=facility, broadcast=True).publish_message("as of old")
            assert receive(client) == "as of old"
            with pytest.raises(InvalidStatus):
                open_websocket(url, headers={"Origin": "http://evil.example"})
        finally:
            end(process)
