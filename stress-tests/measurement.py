"""Measures one server: what it takes for idle websockets, and for messages to all of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from contenders import Contender
from load import Answer, Load
from processes import Process
from publishers import OWN_NAME, Publisher
from redis import Redis
from servers import SERVERS, start_redis, start_server
from waiting import settled

FEW = 10
MEMORY_TOLERANCE = 16 * 1024
WARM_UP = 1.0
"""Seconds of messages before the rate is measured."""
LONGEST_BURST = 10.0
"""Seconds of a burst to a server that tells how much it bears."""
HEARTBEAT_INTERVAL_MS = 4000

Figures = dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """What the servers have to do."""

    clients: int
    """Websockets that get messages."""
    idle: int
    """Websockets that are held for measuring memory."""
    rate: float
    """Messages per second."""
    seconds: float
    """How long messages are published at that rate."""
    size: int
    """Bytes of a message."""
    burst: int
    """Messages that are published at once."""
    heartbeat: str
    """Heartbeat that goes both ways in addition; none if empty."""
    headers: tuple[str, ...]
    """More header lines of each handshake."""


def measure(kind: str, workload: Workload) -> Figures:
    """Measure one of the servers, twice started anew; return all figures."""
    with _arena(kind, workload) as arena:
        figures = arena.idle()
    # Memory that idle websockets have left behind must not help here, nor the other way round.
    with _arena(kind, workload) as arena:
        return figures | arena.steady() | arena.burst()


@contextmanager
def _arena(kind: str, workload: Workload) -> Iterator[Arena]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ws4redis-")))
        client, path = start_redis(stack, directory)
        server, port = start_server(stack, kind, path, heartbeat=workload.heartbeat)
        contender = SERVERS[kind]
        address, dialect = contender.address, contender.dialect
        load = stack.enter_context(Load(port, address, workload.headers, dialect=dialect))
        publisher = stack.enter_context(contender.publisher(port, path))
        if workload.heartbeat:
            load.send_heartbeats(workload.heartbeat, HEARTBEAT_INTERVAL_MS)
        yield Arena(workload, contender, client, server, load, publisher)


def _bearable(workload: Workload, contender: Contender) -> Workload:
    """Return as much of the workload as a server keeps up with."""
    messages = contender.max_deliveries / workload.clients
    burst = max(1.0, messages * LONGEST_BURST)
    return replace(
        workload, rate=min(workload.rate, messages), burst=int(min(workload.burst, burst))
    )


class Arena:
    """A running server with its clients, its Redis, and who publishes to it."""

    def __init__(
        self,
        workload: Workload,
        contender: Contender,
        client: Redis,
        server: Process,
        load: Load,
        publisher: Publisher,
    ) -> None:
        self._asked = workload
        self._workload = _bearable(workload, contender)
        self._redis = client
        self._server = server
        self._load = load
        self._publisher = publisher

    def idle(self) -> Figures:
        """Return the memory of an idle websocket, and the number of connections to Redis."""
        links = {0: self._links()}
        self._load.connect(FEW)
        links[FEW] = self._links()
        # The first websockets load modules and fill caches, which no later one pays again.
        self._load.close(FEW)
        before = self._memory()
        clients, idle = self._workload.clients, self._workload.idle
        self._load.connect(clients)
        links[clients] = self._links()
        self._load.connect(max(0, idle - clients))
        memory = self._memory() - before
        # Asked afterwards, as a websocket that was lost meanwhile is an error.
        held = self._load.reset().open
        figures = {f"links_{count}": float(number) for count, number in links.items()}
        return {"memory_kib": memory / 1024 / held} | figures

    def steady(self) -> Figures:
        """Publish at a rate; return the cost of a delivery in microseconds, and latencies."""
        workload, load = self._workload, self._load
        load.connect(workload.clients)
        self._publish(WARM_UP)
        before = self._server.cpu()
        answer = self._publish(workload.seconds)
        seconds = self._server.cpu() - before
        return {
            "cpu_us": seconds * 1e6 / answer.messages,
            "p50_us": answer.p50_us,
            "p99_us": answer.p99_us,
        }

    def burst(self) -> Figures:
        """Publish many messages at once; return the seconds until all are delivered.

        Whoever can't bear so many gets fewer; the seconds are then those that all would take.
        """
        self._load.reset()
        messages = [self._message() for _ in range(self._workload.burst)]
        started = time.monotonic_ns()
        self._publisher.publish(messages)
        answer = self._load.wait(len(messages) * self._workload.clients)
        seconds = (answer.last_at_ns - started) / 1e9
        return {"burst_s": seconds * self._asked.burst / len(messages)}

    def _publish(self, seconds: float) -> Answer:
        """Publish at the rate; returns when all is delivered."""
        self._load.reset()
        count = max(1, round(self._workload.rate * seconds))
        due = time.monotonic()
        for _ in range(count):
            self._publisher.publish([self._message()])
            due += 1 / self._workload.rate
            time.sleep(max(0.0, due - time.monotonic()))
        return self._load.wait(count * self._workload.clients)

    def _message(self) -> bytes:
        return f"{time.monotonic_ns():016x}".encode().ljust(self._workload.size, b"x")

    def _memory(self) -> int:
        return settled(self._server.memory, MEMORY_TOLERANCE)

    def _links(self) -> int:
        """Count the server's connections to Redis, whatever it calls them.

        A server may listen a moment before it is connected.
        """
        return settled(self._count_links, 0)

    def _count_links(self) -> int:
        clients = self._redis.client_list()
        return sum(client["name"] != OWN_NAME for client in clients)
