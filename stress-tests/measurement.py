"""An arena: one contender with its clients and its Redis, whose publisher we are."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from load import Answer, Load
from processes import Process
from publishers import OWN_NAME, Publisher
from redis import Redis
from scenario import Figures
from servers import contender, run_in_site, site_environment, start_redis, start_server
from waiting import settled

MEMORY_TOLERANCE = 16 * 1024
WARM_UP = 1.0
"""Seconds of messages before a rate is measured."""
COOKIE = "Cookie: sessionid=visitor-session-%u"
STAMP = 16
"""Bytes at the start of a message that say when it was published."""


@contextmanager
def arena(
    kind: str,
    *,
    address: str = "",
    visitors: int = 0,
    headers: Sequence[str] = (),
    arguments: Sequence[str] = (),
    **settings: str,
) -> Iterator[Arena]:
    """Start a contender, its Redis, and clients for it; end all of them.

    Args:
        kind: The contender.
        address: Path and query of the websockets, if not those of the contender.
        visitors: How many users there are, each logged in with a session of its own; the first
            websockets are theirs. Without users nobody is logged in.
        headers: More lines for the head of each handshake.
        arguments: More arguments of the contender.
        settings: More environment variables of our servers, such as ``WS4REDIS_HEARTBEAT``.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ws4redis-")))
        client, path = start_redis(stack, directory)
        environment = site_environment(path) | settings
        if visitors:
            run_in_site(["visitors.py", str(visitors)], environment)
        server, port = start_server(stack, kind, path, environment, arguments)
        own, cookie = contender(kind), [COOKIE] if visitors else []
        publisher = stack.enter_context(own.publisher(port, path))
        load = Load(port, address or own.address, [*headers, *cookie], dialect=own.dialect)
        stack.enter_context(load)
        yield Arena(client, server, port, load, publisher, environment)


class Arena:
    """What a scenario measures with.

    Args:
        client: A client of the Redis.
        server: The contender.
        port: Where it listens.
        load: Its clients.
        publisher: Publishes to it.
        environment: For programs of its site.
    """

    def __init__(
        self,
        client: Redis,
        server: Process,
        port: int,
        load: Load,
        publisher: Publisher,
        environment: Mapping[str, str],
    ) -> None:
        self.environment = environment
        self.redis = client
        self.server = server
        self.port = port
        self.load = load
        self.publisher = publisher

    def steady(self, clients: int, rate: float, seconds: float, size: int = 100) -> Figures:
        """Publish at a rate; return the cost of a delivery in microseconds, and latencies."""
        self.publish_at_rate(clients, rate, WARM_UP, size)
        before = self.server.cpu()
        answer = self.publish_at_rate(clients, rate, seconds, size)
        spent = self.server.cpu() - before
        return {
            "cpu_us": spent * 1e6 / answer.messages,
            "p50_us": answer.p50_us,
            "p99_us": answer.p99_us,
        }

    def burst(self, clients: int, count: int, size: int = 100) -> Figures:
        """Publish many messages at once; return the seconds until all are delivered."""
        self.load.reset()
        started = time.monotonic_ns()
        self.publish([message(size) for _ in range(count)])
        answer = self.load.wait(count * clients)
        return {"burst_s": (answer.last_at_ns - started) / 1e9}

    def publish_at_rate(self, clients: int, rate: float, seconds: float, size: int) -> Answer:
        """Publish one message after the other; returns when all are delivered."""
        self.load.reset()
        count = max(1, round(rate * seconds))
        self.at_rate(lambda due_ns: self.publish([message(size, due_ns)]), rate, count)
        return self.load.wait(count * clients)

    @staticmethod
    def at_rate(act: Callable[[int], object], rate: float, count: int) -> None:
        """Do something so many times a second.

        Args:
            act: Gets the time, in nanoseconds, at which it should have been called: a publisher
                that does not keep up is late from then on.
            rate: How often in a second.
            count: How often in all.
        """
        started = time.monotonic_ns()
        for number in range(count):
            due = started + round(number / rate * 1e9)
            time.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
            act(due)

    def publish(self, messages: Sequence[bytes]) -> None:
        """Publish messages in one go."""
        self.publisher.publish(messages)

    def publish_one(self, size: int = 100) -> None:
        """Publish one message that says when it was made."""
        self.publish([message(size)])

    def memory(self) -> int:
        """Return the proportional memory (PSS) of the server in bytes, once it has come to rest."""
        return settled(self.server.memory, MEMORY_TOLERANCE)

    def links(self) -> int:
        """Count the server's connections to Redis, but for those of Django's cache.

        A server may listen a moment before it is connected.
        """
        return settled(self._count_links, 0)

    def _count_links(self) -> int:
        clients = self.redis.client_list()
        return sum(client["name"] != OWN_NAME and client["db"] == "0" for client in clients)


def message(size: int, due_ns: int = 0) -> bytes:
    """Return a message of at least 16 bytes that says when it was due, which is now by default."""
    return f"{due_ns or time.monotonic_ns():0{STAMP}x}".encode().ljust(size, b"x")
