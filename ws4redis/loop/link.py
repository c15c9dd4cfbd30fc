"""Opens the link to Redis: redis-py connects and authenticates, the bus goes on with the socket."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ws4redis.exceptions import BusError
from ws4redis.loop.bus import Link

CLIENT_NAME = "ws4redis"


def describe(error: Exception) -> str:
    """Return what went wrong between us and Redis, for people, and without a message's payload."""
    if not isinstance(error, (redis.RedisError, OSError)):
        # redis-py trips over what it does not expect, with AttributeError and the like.
        return f"its answer makes no sense ({type(error).__name__})"
    # Before these words, redis-py quotes the command.
    return str(error).rpartition(" of pipeline caused error: ")[2].rstrip(".")


def open_link(connection_class: type[Any], options: dict[str, Any], timeout: float) -> Link:
    """Connect to Redis and speak RESP3; blocks.

    Args:
        connection_class: One of redis-py's classes for a connection.
        options: Its arguments.
        timeout: Seconds for each step, unless the options say otherwise.

    Raises:
        BusError: Redis can't be reached, refuses us, or is older than 6.
    """
    fixed = {"protocol": 3, "client_name": CLIENT_NAME, "retry": Retry(NoBackoff(), 0)}
    defaults = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    connection = connection_class(**{**defaults, **options, **fixed})
    try:
        connection.connect()
        # One that loads its data, or lost its master, takes connections and refuses commands.
        connection.send_command("PING")
        connection.read_response()
    except Exception as error:
        connection.disconnect()
        raise BusError(f"Redis can't be used: {describe(error)}.") from error
    # redis-py offers no public way to the socket. All answers to its greeting were read.
    link: Any = connection._sock
    link.setblocking(False)
    # The connection closes its socket when it is collected: leave it none.
    connection._sock = None
    return link  # type: ignore[no-any-return]
