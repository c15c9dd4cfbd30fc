"""Counts what a server holds before and after ten thousand clients that leave in every way.

make leaks, or: python leaks.py [--clients N] [SERVER ...]

As many clients come first and are not counted, so that caches and pools don't look like leaks.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import django
from django.core.management import call_command

from tests import census, crowd
from tests.deployments import KINDS
from tests.servers import RedisServer, Server, serving

SERVERS = ("serve", "uwsgi", "runserver", "gunicorn-gevent", "gunicorn-gthread")
ONE_PROCESS = {"workers = 2": "workers = 1"}

Count = Callable[[], dict[str, int]]


def main() -> int:
    """Print a table for each server; return 1 if one of them holds more than before."""
    arguments = _arguments()
    with _redis() as redis_server:
        results = [_judge(kind, arguments.clients, redis_server) for kind in arguments.servers]
    return max(results)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("servers", nargs="*", default=SERVERS, metavar="SERVER")
    arguments = parser.parse_args()
    if unknown := set(arguments.servers) - set(KINDS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    return arguments


@contextmanager
def _redis() -> Iterator[RedisServer]:
    """Run a private Redis, with a database for the sites beside it."""
    directory = Path(tempfile.mkdtemp(prefix="ws4redis-leaks-"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.environ["WS4REDIS_TEST_DB"] = str(directory / "db.sqlite3")
    django.setup()
    call_command("migrate", verbosity=0)
    server = RedisServer(directory)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)


def _judge(kind: str, clients: int, redis_server: RedisServer) -> int:
    changes = ONE_PROCESS if kind.startswith("gunicorn") else {}
    settings = census.SETTINGS | crowd.SETTINGS
    directory = redis_server.path.parent
    with (
        serving(kind, directory, redis_server.url, changes, **settings) as server,
        redis_server.client() as redis_client,
    ):
        count = census.counter(server, redis_client)
        _come_and_go(server, redis_client, clients)
        before = census.settled(count)
        _come_and_go(server, redis_client, clients)
        after = census.settled(count)
    return _report(kind, before, after)


def _come_and_go(server: Server, redis_client: Any, clients: int) -> None:
    for _ in range(-(-clients // crowd.BATCH)):
        crowd.come_and_go(server, redis_client)


def _report(kind: str, before: dict[str, int], after: dict[str, int]) -> int:
    print(f"\n{kind:24} {'before':>10} {'after':>10}")
    for name, held in before.items():
        print(f"{name:24} {held:10} {after[name]:10}", flush=True)
    return int(any(after[name] > held for name, held in before.items() if name != "memory"))


if __name__ == "__main__":
    sys.exit(main())
