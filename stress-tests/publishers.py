"""How messages get to the servers: each is published to in the cheapest way that it offers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from redis import Redis

CHANNEL = "broadcast:bench"
OWN_NAME = "bench"
"""What the benchmark calls its own connections to Redis."""


class Publisher(Protocol):
    """Publishes to one server."""

    def publish(self, messages: Sequence[bytes]) -> None:
        """Publish messages in their order, and as fast as can be; returns when all are taken."""


OpenPublisher = Callable[[int, Path], AbstractContextManager[Publisher]]
"""Opens one for the server at a port, whose Redis is at a path."""


class RedisPublisher:
    """Publishes on the channel of Redis that the servers follow."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def publish(self, messages: Sequence[bytes]) -> None:
        if len(messages) == 1:
            self._client.publish(CHANNEL, messages[0])
            return
        pipeline = self._client.pipeline(transaction=False)
        for message in messages:
            pipeline.publish(CHANNEL, message)
        pipeline.execute()


@contextmanager
def redis_publisher(port: int, redis_path: Path) -> Iterator[Publisher]:
    """Open a publisher for a server that follows a channel of Redis."""
    with Redis(unix_socket_path=str(redis_path), client_name=OWN_NAME) as client:
        yield RedisPublisher(client)


class ProgramPublisher:
    """Lets a program of the peer's own environment publish.

    It gets a JSON array on one line, and answers with a line when all of it is published.
    """

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self._program = program

    def publish(self, messages: Sequence[bytes]) -> None:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        print(
            json.dumps([message.decode() for message in messages]),
            file=self._program.stdin,
            flush=True,
        )
        if not self._program.stdout.readline():
            raise RuntimeError("The program that publishes gave up; see above.")


def program_publisher(*command: str) -> OpenPublisher:
    """Publish by a program, which gets the URL of Redis as its last argument."""

    @contextmanager
    def opened(port: int, redis_path: Path) -> Iterator[Publisher]:
        url = f"unix://{redis_path}?db=0&client_name={OWN_NAME}"
        with subprocess.Popen(
            [*command, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as program:
            try:
                yield ProgramPublisher(program)
            finally:
                program.kill()

    return opened
