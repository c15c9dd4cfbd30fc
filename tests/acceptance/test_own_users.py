"""A site whose users are its own, and have no names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_facility import assert_nothing_arrives, receive
from tests.servers import ROOT, RedisServer, serving

SETTINGS = {
    "INSTALLED_APPS": [
        "ws4redis",
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django.contrib.sessions",
        "tests.customers",
    ],
    "AUTH_USER_MODEL": "customers.Customer",
}
LOG_IN = """
from django.test import Client
from tests.customers.models import Customer

for number in (1001, 1002, None):
    client = Client()
    client.force_login(Customer.objects.create(number=number))
    print(client.cookies["sessionid"].value)
"""
PUBLISH = """
from ws4redis.publisher import RedisPublisher
from tests.customers.models import Customer

customer = Customer.objects.get(number=1001)
RedisPublisher(facility="{0}", users=[customer]).publish_message("to the customer")
RedisPublisher(facility="{0}", users=["1001"]).publish_message("to the number")
RedisPublisher(facility="{0}", users=["None", str(customer.pk)]).publish_message("to nobody")
"""

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command of Django where the users are customers, and return its output."""
    # The server of the test inherits it.
    monkeypatch.setenv("WS4REDIS_TEST_DB", str(tmp_path / "customers.sqlite3"))

    def run(*arguments: str) -> str:
        result = subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            env={**os.environ, "WS4REDIS_TEST_SETTINGS": json.dumps(SETTINGS)},
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        return result.stdout

    return run


def test_a_user_is_addressed_by_what_stands_for_a_name(
    run: Run, tmp_path: Path, redis_server: RedisServer, facility: str, open_websocket: Any
) -> None:
    run("migrate", "--run-syncdb", "--verbosity", "0")
    keys = run("shell", "-c", LOG_IN).split()[-3:]
    with serving("serve", tmp_path, redis_server.url, **SETTINGS) as server:
        address = server.url(f"{facility}?subscribe-user&subscribe-group&subscribe-broadcast")
        one, other, nameless = (open_websocket(address, f"sessionid={key}") for key in keys)
        for client in (one, other):
            assert "X-WS4Redis-Refused" not in client.response.headers
        refused = nameless.response.headers["X-WS4Redis-Refused"]
        assert refused == "subscribe-user (the user has no name)"
        run("shell", "-c", PUBLISH.format(facility))
        assert [receive(one), receive(one)] == ["to the customer", "to the number"]
        assert_nothing_arrives(other, facility)
        assert receive(nameless) == "marker"
        assert "Traceback" not in server.log
