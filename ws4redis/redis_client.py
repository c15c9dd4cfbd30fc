"""The Redis client of this process for everything but the loop's one link."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from django.core.signals import setting_changed
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from ws4redis.conf import get_settings, redis_options
from ws4redis.exceptions import BusError
from ws4redis.history import Call
from ws4redis.loop.link import describe
from ws4redis.scripts import Script

MAX_CONNECTIONS = 2**16
"""Connections of the pool; each thread that talks to Redis needs one for that moment."""

_lock = threading.Lock()
_clients: dict[int, redis.Redis] = {}
_stand_ins: list[redis.Redis] = []
"""What tests put in their place; the last one counts."""


def get_client() -> redis.Redis:
    """Return the client of this process; made at the first call, and anew after a fork."""
    if _stand_ins:
        return _stand_ins[-1]
    process = os.getpid()
    client = _clients.get(process)
    if client is None:
        with _lock:
            client = _clients.get(process) or _make()
            _clients[process] = client
    return client


@contextmanager
def replaced(client: redis.Redis) -> Iterator[None]:
    """Let everything in this process use another client, as long as a test goes on."""
    _stand_ins.append(client)
    try:
        yield
    finally:
        _stand_ins.remove(client)


class bus_errors:
    """Turn whatever goes wrong between us and Redis into one documented error.

    Args:
        connection: The client in use; the error names where its Redis is.

    Raises:
        BusError: Redis can't be reached, does not answer in time, or refuses.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, Exception):
            return
        connection = self._connection
        if not isinstance(error, (redis.RedisError, OSError)):
            # redis-py did not see that its connection is out of step: it must not be used again.
            connection.connection_pool.disconnect(inuse_connections=False)
        raise BusError(
            f"Redis at {address_of(connection)} could not be used: {describe(error)}."
        ) from error


def run(connection: Any, calls: Sequence[Call]) -> list[Any]:
    """Run scripts in one round trip, or in two when Redis does not know them yet.

    Args:
        connection: A Redis client.
        calls: What to run, in this order.

    Returns:
        Their answers.

    Raises:
        redis.RedisError: Redis can't be reached, or one of them failed.
    """
    answers = _attempt(connection, calls, {call.script for call in calls})
    missing = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if missing:
        # Only these: the others have been run.
        again = _attempt(connection, [calls[at] for at in missing], set())
        for at, answer in zip(missing, again, strict=True):
            answers[at] = answer
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _attempt(connection: Any, calls: Sequence[Call], known: set[Script]) -> list[Any]:
    commands = [*_commands(calls, known)]
    if len(commands) == 1:
        # A pipeline takes twice as long for a single command.
        try:
            return [connection.execute_command(*commands[0])]
        except NoScriptError as error:
            return [error]
    pipeline = connection.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    return list(pipeline.execute(raise_on_error=False))


def _commands(calls: Sequence[Call], known: set[Script]) -> Iterator[list[Any]]:
    """Yield a command for each call; the first one of an unknown script carries its source."""
    for script, keys, arguments in calls:
        name, body = ("EVALSHA", script.sha) if script in known else ("EVAL", script.source)
        known.add(script)
        yield [name, body, len(keys), *keys, *arguments]


def address_of(connection: Any) -> str:
    """Return where the Redis of a client is, for people: a path, or a host and a port."""
    options = connection.connection_pool.connection_kwargs
    return options.get("path") or "{}:{}".format(
        options.get("host", "localhost"), options.get("port", 6379)
    )


def _make() -> redis.Redis:
    settings = get_settings()
    connection_class, options = redis_options(settings.connection)
    defaults = {
        "socket_timeout": settings.redis_timeout,
        "socket_connect_timeout": settings.redis_timeout,
        # A view waits for its answer: better to fail soon than to try for a minute.
        "retry": Retry(NoBackoff(), 0),
        "max_connections": MAX_CONNECTIONS,
    }
    pool = redis.ConnectionPool(connection_class=connection_class, **{**defaults, **options})
    return redis.Redis(connection_pool=pool)


def _forget_clients(*, setting: str, **_: object) -> None:
    if setting in ("WS4REDIS_CONNECTION", "WS4REDIS_REDIS_TIMEOUT"):
        _clients.clear()


setting_changed.connect(_forget_clients, dispatch_uid="ws4redis.redis_client")
