"""A site with its Redis, its publishers and its clients, to which something is done."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.deployments import free_port
from tests.losses.oracle import Verdict, judge
from tests.losses.programs import Audience, Publisher
from tests.losses.sites import Site
from tests.servers import RedisServer
from tests.tcp_proxy import TcpProxy
from tests.waiting import PATIENCE, wait_for

PUBLISHERS = ("a", "b")
AT_ONCE = ("--repl-diskless-sync-delay", "0")
"""A replica is served without a wait for others."""
LEAD = 1.0
"""Seconds of publishing before a fault, and after it."""

OpenSite = Callable[..., AbstractContextManager[Site]]
"""Runs a site, by a directory, the URL of its Redis, and settings of its own."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fault, and how many it concerns."""

    name: str
    title: str
    fault: Callable[[Scene], None]
    seconds: float = 2.0
    """How long the fault takes, where that is ours to say."""
    times: int = 1
    """How often it is repeated, where it is."""
    clients: int = 100
    rate: float = 10.0
    """Messages of each publisher in a second."""
    size: int = 100
    """Bytes of a message."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of our site."""
    redis: tuple[str, ...] = ()
    """Further arguments of Redis."""
    has_replica: bool = False
    is_slow: bool = False
    """Whether little is kept of what the clients do not read."""
    is_gone: bool = False
    """Whether the fault destroys what was published."""


class Scene(AbstractContextManager["Scene"]):
    """What a fault is done to."""

    def __init__(self, row: Row, directory: Path) -> None:
        self.row = row
        self.directory = directory
        self.redis = RedisServer(directory)
        self.replica = RedisServer(_made(directory / "replica"))
        self.network = TcpProxy(self.redis.path)
        """Between the site and its Redis."""
        self.switch = TcpProxy(self.redis.path)
        """Between the publishers and Redis, where another one may take over."""
        self.audiences: dict[str, Audience] = {}
        self.publishers: list[Publisher] = []
        self.site: Site
        self._port = free_port()
        self._stack = ExitStack()

    def __enter__(self) -> Scene:
        for redis in (self.redis, self.replica):
            self._stack.callback(redis.stop, signal.SIGKILL)
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    def set_up(self, open_site: OpenSite) -> None:
        """Start all but the publishers; the clients are connected."""
        row, enter = self.row, self._stack.enter_context
        self.start_redis()
        if row.has_replica:
            self.start_replica()
        enter(self.network)
        enter(self.switch)
        self.site = enter(open_site(self.directory, self.network.url, **row.settings))
        for name, kind in self.site.audiences.items():
            audience = Audience(kind, row.clients, self.site.url, is_slow=row.is_slow)
            self.audiences[name] = enter(audience)
        self.are_open()

    def start_publishing(self) -> None:
        row = self.row
        # Who publishes is elsewhere, and its link is another one; only its Redis is the same.
        url = self.switch.url if row.has_replica else self.redis.url
        for name in PUBLISHERS:
            command = [*self.site.publisher, name, str(row.rate), str(row.size)]
            publisher = Publisher(name, command, self.site.publishing(url))
            self.publishers.append(self._stack.enter_context(publisher))

    def verdicts(self) -> dict[str, Verdict]:
        """End publishing; return what each kind of clients got."""
        self.are_open()
        self.publish_for(LEAD)
        published = {publisher.name: publisher.stop() for publisher in self.publishers}
        for audience in self.audiences.values():
            _wait_until_done(audience, published)
        return {
            name: judge(audience.records(self.directory), published)
            for name, audience in self.audiences.items()
        }

    def start_redis(self) -> None:
        """Start Redis, or start it again."""
        self.redis.start("--port", str(self._port), *AT_ONCE, *self.row.redis)
        wait_for(self.redis.answers)

    def start_replica(self) -> None:
        self.replica.start("--replicaof", f"127.0.0.1 {self._port}")
        wait_for(self.replica.answers)
        wait_for(lambda: self.replication(self.replica)["master_link_status"] == "up")

    def replication(self, redis: RedisServer) -> dict[str, Any]:
        with redis.client() as client:
            told: dict[str, Any] = client.info("replication")
            return told

    def publish_for(self, seconds: float) -> None:
        """Wait until each publisher has published as much as it does in that time."""
        count = max(1, round(seconds * self.row.rate))
        targets = [publisher.published + count for publisher in self.publishers]

        def reached() -> bool:
            return all(
                publisher.published >= target
                for publisher, target in zip(self.publishers, targets, strict=True)
            )

        wait_for(reached, PATIENCE + 3 * seconds)

    def ask_all(self, command: str = "status") -> list[dict[str, Any]]:
        """Let all clients carry out a command; return how those of each kind are."""
        return [audience.ask(command) for audience in self.audiences.values()]

    def signal_all(self, number: int) -> None:
        """Send a signal to the processes of all clients."""
        for audience in self.audiences.values():
            audience.process.send_signal(number)

    def wait_for_clients(self, condition: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until something can be said of the clients of each kind."""
        wait_for(lambda: all(map(condition, self.ask_all())), 4 * PATIENCE)

    def are_open(self) -> None:
        """Wait until all clients are connected."""
        self.wait_for_clients(lambda state: state["open"] == self.row.clients)


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def play(row: Row, open_site: OpenSite, directory: Path) -> dict[str, Verdict]:
    """Let a fault happen while messages are published; return what each kind of clients got."""
    with Scene(row, directory) as scene:
        scene.set_up(open_site)
        scene.start_publishing()
        scene.publish_for(LEAD)
        row.fault(scene)
        return scene.verdicts()


def _wait_until_done(audience: Audience, published: Mapping[str, int]) -> None:
    """Wait for the last messages, as long as one might still come."""
    try:
        wait_for(lambda: audience.has(published))
    except AssertionError:
        # Then they are lost, which is for the judge to say.
        return
