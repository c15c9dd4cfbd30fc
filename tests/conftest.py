"""One private Redis and one database for the whole run."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import pytest

from tests.servers import RedisServer

_directory = Path(tempfile.mkdtemp(prefix="ws4redis-"))
_redis = RedisServer(_directory)


def pytest_configure(config: pytest.Config) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.environ["WS4REDIS_TEST_DB"] = str(_directory / "test.sqlite3")
    os.environ["REDIS_URL"] = _redis.url
    django.setup()


def pytest_unconfigure(config: pytest.Config) -> None:
    _redis.stop()
    shutil.rmtree(_directory, ignore_errors=True)


@pytest.fixture(scope="session")
def directory() -> Path:
    return _directory


@pytest.fixture(scope="session")
def redis_server() -> RedisServer:
    if _redis.process is None:
        _redis.start()
    return _redis


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may stop."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_client(redis_server: RedisServer) -> Iterator[Any]:
    """A client of the shared Redis; tests use names of their own and need no flush."""
    with redis_server.client() as client:
        yield client


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture(scope="session")
def users(directory: Path, redis_server: RedisServer) -> dict[str, Any]:
    """John and Mary, both in the group ``chatters``, and Paul, who is in none."""
    from django.contrib.auth.models import Group, User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    chatters = Group.objects.create(name="chatters")
    made = {name: User.objects.create_user(name, password="secret") for name in _NAMES}
    chatters.user_set.add(made["john"], made["mary"])
    return made


_NAMES = ("john", "mary", "paul")


@pytest.fixture(scope="session")
def cookies(users: dict[str, Any]) -> dict[str, str]:
    """The ``Cookie`` header of each user's session."""
    from django.test import Client

    def log_in(user: Any) -> str:
        client = Client()
        client.force_login(user)
        return f"sessionid={client.cookies['sessionid'].value}"

    return {name: log_in(user) for name, user in users.items()}
