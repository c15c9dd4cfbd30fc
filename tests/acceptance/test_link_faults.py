"""What happens while the link to Redis is cut, silent, slow, refused or garbled."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from django.test import override_settings
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.acceptance.test_facility import receive
from tests.acceptance.test_subscribers import user_count
from tests.raw import RawClient
from tests.servers import RedisServer, Server, serving
from tests.tcp_proxy import TcpProxy
from tests.waiting import PATIENCE, wait_for
from ws4redis.exceptions import BusError
from ws4redis.publisher import RedisPublisher
from ws4redis.redis_client import get_client

MAIN = ("serve", "uwsgi-router", "uwsgi-threads", "gunicorn-gthread", "gunicorn-gevent")
FEW = ("serve", "uwsgi-router")
TIMEOUT = 1.0
BOTH = "subscribe-broadcast&publish-broadcast"


class Site:
    """A server behind a bad network, with two open websockets that are to stay."""

    def __init__(
        self, server: Server, network: TcpProxy, own_redis: RedisServer, open_websocket: Any
    ) -> None:
        self.server = server
        self.network = network
        self.redis = own_redis
        self._open = open_websocket
        self.clients = [self.open(f"foo?{BOTH}") for _ in range(2)]
        # A server may have several processes, and each has its link.
        self.links = self.listening()

    def admin(self) -> redis.Redis:
        """Return a client that does not go through the network."""
        return self.redis.client()

    def listening(self) -> int:
        """Return how many processes follow the channel."""
        with self.admin() as admin:
            return int(admin.pubsub_numsub("broadcast:foo")[0][1])

    def said(self, text: str, times: int = 1) -> None:
        """Wait until the log has a text."""
        wait_for(lambda: self.server.log.count(text) >= times, patience=2 * PATIENCE)

    def refuses(self) -> None:
        """A new websocket gets a 503 that says when to come again, and nothing of Redis."""
        with pytest.raises(InvalidStatus) as refused:
            self.open("new?subscribe-broadcast")
        response = refused.value.response
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        assert response.body == b"Try again later.\n"

    def page(self, path: str = "/") -> str:
        """Return Django's answer; ``serve`` has no pages but tells how it is."""
        return RawClient.ask(self.server, path, {"Upgrade": None, "Connection": "close"})

    def pages_stay(self) -> None:
        """Pages that need no Redis are answered."""
        if self.server.kind == "serve":
            assert " 200 " in self.page("/healthz")
            return
        assert "an ordinary page" in self.page()

    def publishing_fails(self, expire: int = 0) -> str:
        """A publisher gets the documented error, soon; return its text."""
        if self.server.kind != "serve":
            answer = self.page("/publish/foo")
            assert answer.startswith("HTTP/1.1 503 "), answer
            assert "could not be used" in answer
        failures: list[BaseException] = []

        def publish() -> None:
            try:
                self.publish("never", expire)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=publish, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert [type(failure) for failure in failures] == [BusError], failures
        assert str(failures[0]).startswith("Redis at 127.0.0.1:")
        assert "never" not in str(failures[0])
        return str(failures[0])

    def publish(self, text: str, expire: int = 0) -> int | None:
        return RedisPublisher(facility="foo", broadcast=True).publish_message(text, expire)

    def recovers(self) -> None:
        """Everything works again, for the websockets that were open and for new ones."""
        wait_for(lambda: self.listening() == self.links)
        wait_for(self.publishes)
        assert self.publish("live again") == self.links
        assert [self._receive(client) for client in self.clients] == ["live again"] * 2
        self.clients[0].send("from a client")
        assert self._receive(self.clients[1]) == "from a client"
        wait_for(self.opens)
        self.pages_stay()
        assert "Traceback" not in self.server.log, self.server.log

    def publishes(self) -> bool:
        """Return whether a publisher gets through, whose last connection may just be closed."""
        try:
            RedisPublisher(facility="nobody", broadcast=True).publish_message("anybody?")
        except BusError:
            return False
        return True

    def _receive(self, client: Any) -> Any:
        """Return the next message, but for those that may arrive late."""
        late = ("never", "from a view", "meanwhile")
        return next(each for each in iter(lambda: receive(client), None) if each not in late)

    def open(self, address: str) -> Any:
        return self._open(self.server.url(address))

    def opens(self) -> bool:
        """Return whether a new websocket can be opened."""
        try:
            self.open("new?subscribe-broadcast").close()
        except InvalidStatus:
            return False
        return True


@pytest.fixture
def network(own_redis: RedisServer) -> Iterator[TcpProxy]:
    with TcpProxy(own_redis.path) as proxy:
        yield proxy


Start = Callable[..., Any]


@pytest.fixture
def site(
    tmp_path: Path, own_redis: RedisServer, network: TcpProxy, users: Any, open_websocket: Any
) -> Start:
    @contextmanager
    def start(kind: str = "serve", **settings: Any) -> Iterator[Site]:
        settings = {"WS4REDIS_REDIS_TIMEOUT": TIMEOUT, "WS4REDIS_EXPIRE": 0} | settings
        # The publisher of the test itself keeps its connections, too.
        own = override_settings(WS4REDIS_CONNECTION=network.url, WS4REDIS_REDIS_TIMEOUT=TIMEOUT)
        with own, serving(kind, tmp_path, network.url, **settings) as server:
            yield Site(server, network, own_redis, open_websocket)
            get_client().connection_pool.disconnect()

    return start


@pytest.mark.parametrize("kind", MAIN)
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_a_cut_link_with_nobody_there(kind: str, reset: bool, site: Start) -> None:
    with site(kind) as running:
        running.network.refuse()
        running.network.cut(reset=reset)
        running.said("The link to Redis broke")
        running.refuses()
        running.pages_stay()
        running.publishing_fails()
        running.network.allow()
        running.said("Redis is back")
        running.recovers()


@pytest.mark.parametrize("kind", MAIN)
def test_a_silent_link(kind: str, site: Start) -> None:
    with site(kind) as running:
        running.network.stall()
        # It may be lost, or arrive late; it closes nothing.
        running.clients[0].send("meanwhile")
        running.refuses()
        running.pages_stay()
        running.publishing_fails()
        running.said("The link to Redis broke (Redis did not answer for 5 s)")
        running.refuses()
        running.network.resume()
        running.said("Redis is back")
        running.recovers()


@pytest.mark.parametrize("way", ["requests", "answers"])
def test_a_link_that_is_silent_in_one_direction(way: str, site: Start) -> None:
    with site() as running:
        running.network.stall(getattr(running.network, way))
        running.refuses()
        running.publishing_fails()
        running.said("The link to Redis broke (Redis did not answer for 5 s)")
        running.network.resume()
        running.said("Redis is back")
        running.recovers()


def test_a_slow_link(site: Start) -> None:
    with site() as running:
        running.network.answers.delay = TIMEOUT / 5
        running.recovers()
        running.network.answers.delay = 3 * TIMEOUT
        running.refuses()
        running.publishing_fails()
        running.network.answers.delay = 0
        running.recovers()
        assert "The link to Redis broke" not in running.server.log


@pytest.mark.parametrize("kind", MAIN)
def test_redis_restarts(kind: str, site: Start) -> None:
    with site(kind) as running:
        running.redis.stop()
        running.said("The link to Redis broke", running.links)
        running.refuses()
        running.pages_stay()
        running.publishing_fails()
        running.redis.start()
        running.said("Redis is back", running.links)
        running.recovers()


def test_an_outage_takes_few_lines_in_the_log(site: Start) -> None:
    with site() as running:
        running.redis.stop()
        attempts = running.network.accepted
        wait_for(lambda: running.network.accepted > attempts + 7)
        running.redis.start()
        running.said("Redis is back")
        running.recovers()
        assert running.server.log.count("The link to Redis broke") == 1
        assert running.server.log.count("Trying again") <= 2
        assert running.server.log.count("Redis is back") == 1


def test_what_clients_send_while_redis_loads_its_data_is_published_afterwards(
    site: Start,
) -> None:
    with site(WS4REDIS_EXPIRE=60) as running:
        with running.admin() as admin:
            admin.mset({f"key{number}": os.urandom(1500) for number in range(2000)})
            admin.save()
        running.redis.stop()
        running.said("The link to Redis broke")
        running.clients[0].send("sent meanwhile")
        slowly = ["--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"]
        running.redis.start(*slowly)
        running.said("loading the dataset")
        running.refuses()
        assert "loading" in running.publishing_fails(expire=60)
        with running.admin() as admin:
            admin.config_set("key-load-delay", 0)
        running.said("Redis is back")
        assert receive(running.clients[1]) == "sent meanwhile"
        running.recovers()


@pytest.mark.parametrize("kind", FEW)
@pytest.mark.parametrize("type_", ["pubsub", "normal"])
def test_an_administrator_kills_the_connections(kind: str, type_: str, site: Start) -> None:
    with site(kind) as running:
        assert running.publish("before") == running.links
        assert [receive(client) for client in running.clients] == ["before"] * 2
        with running.admin() as admin:
            admin.client_kill_filter(_type=type_)
            if type_ == "pubsub":
                running.said("Redis is back")
        running.recovers()


def test_redis_gives_up_a_link_that_does_not_read(site: Start) -> None:
    with site() as running, running.admin() as admin:
        admin.config_set("client-output-buffer-limit", "pubsub 100kb 0 0")
        running.network.stall(running.network.answers)
        # More than the kernel holds.
        wait_for(lambda: admin.publish("broadcast:foo", "x" * 1_000_000) == 0)
        running.network.resume()
        running.said("Redis is back")
        wait_for(lambda: running.listening() == running.links)
        admin.publish("broadcast:foo", "after the flood")
        for client in running.clients:
            wait_for(lambda client=client: receive(client) == "after the flood")
        running.recovers()


REFUSED_WRITES = {
    "replica": ("READONLY", ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    "min-replicas": (
        "NOREPLICAS",
        ("CONFIG", "SET", "min-replicas-to-write", "1"),
        ("CONFIG", "SET", "min-replicas-to-write", "0"),
    ),
    "full": (
        "OOM",
        ("CONFIG", "SET", "maxmemory", "100kb"),
        ("CONFIG", "SET", "maxmemory", "0"),
    ),
    "acl": (
        "can't run this command",
        ("ACL", "SETUSER", "default", "-set"),
        ("ACL", "SETUSER", "default", "+set"),
    ),
}


@pytest.mark.parametrize("fault", REFUSED_WRITES)
def test_redis_refuses_to_persist(fault: str, site: Start) -> None:
    code, begin, end = REFUSED_WRITES[fault]
    with site(WS4REDIS_EXPIRE=60) as running, running.admin() as admin:
        sender, other = running.clients
        admin.execute_command(*begin)
        running.publishing_fails(expire=60)
        for _ in range(100):
            sender.send("refused")
        # Redis 6 says more before the code.
        running.said("Redis refused a command")
        assert code in running.server.log
        # What is not persisted is delivered, and who is new may listen.
        wait_for(running.opens)
        assert running.publish("not persisted") == 1
        assert [receive(client) for client in running.clients] == ["not persisted"] * 2
        admin.execute_command(*end)
        # The refused messages are not awaited any more: this is somebody else's.
        other.send("refused")
        assert receive(sender) == "refused"
        running.recovers()
        assert running.server.log.count("Redis refused a command") == 1


def test_a_master_that_is_lost_with_all_data(site: Start) -> None:
    with site() as running, running.admin() as admin:
        admin.config_set("replica-serve-stale-data", "no")
        admin.execute_command("REPLICAOF", "127.0.0.1", "1")
        running.refuses()
        running.publishing_fails(expire=60)
        admin.execute_command("REPLICAOF", "NO", "ONE")
        running.recovers()


@pytest.mark.parametrize("kind", FEW)
def test_a_password_is_set_meanwhile(kind: str, site: Start) -> None:
    with site(kind) as running, running.admin() as admin:
        admin.config_set("requirepass", "secret")
        admin.client_kill_filter(_type="pubsub")
        admin.client_kill_filter(_type="normal", skipme=True)
        running.said("Redis can't be used", running.links)
        running.refuses()
        running.pages_stay()
        running.publishing_fails()
        admin.config_set("requirepass", "")
        running.said("Redis is back", running.links)
        running.recovers()


def test_a_channel_is_forbidden_and_allowed_again(site: Start) -> None:
    with site() as running, running.admin() as admin:
        bystander = running.open("allowed?subscribe-broadcast")
        admin.execute_command("ACL", "SETUSER", "default", "resetchannels", "&broadcast:allowed")
        running.said("Redis refused a command: NOPERM")
        # Its channel was named in the same command as the forbidden one.
        wait_for(lambda: admin.publish("broadcast:allowed", "still here"))
        assert receive(bystander) == "still here"
        running.refuses()
        running.publishing_fails()
        admin.execute_command("ACL", "SETUSER", "default", "allchannels")
        running.recovers()
        assert running.server.log.count("Redis refused a command") == 1


@pytest.mark.parametrize("kind", FEW)
def test_redis_takes_no_more_clients(kind: str, site: Start) -> None:
    with site(kind) as running, running.admin() as admin:
        admin.config_set("maxclients", 1)
        admin.client_kill_filter(_type="pubsub")
        admin.client_kill_filter(_type="normal", skipme=True)
        running.said("Trying again", running.links)
        running.refuses()
        running.pages_stay()
        running.publishing_fails()
        admin.config_set("maxclients", 1000)
        running.said("Redis is back", running.links)
        running.recovers()


def test_a_subscriber_that_can_not_publish(site: Start) -> None:
    with site(WS4REDIS_SUBSCRIBER="tests.subscribers.Counting") as running:
        sender, other = running.clients
        running.network.refuse()
        running.network.cut()
        sender.send("same")
        running.said("Counting failed")
        running.network.allow()
        running.said("Redis is back")
        # The one that was not published is not awaited: this is somebody else's.
        wait_for(lambda: running.listening() == 1)
        # Any test of this process may have made users.
        same = f"same {user_count()}"
        running.publish(same)
        assert [receive(sender), receive(other)] == [same] * 2
        assert "Traceback" not in running.server.log


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_a_subscriber_that_reads_by_itself(reset: bool, site: Start) -> None:
    with site(WS4REDIS_SUBSCRIBER="tests.subscribers.Translating") as running:
        # Each has a connection of its own, and nobody waits for what Redis answers on it.
        wait_for(lambda: running.listening() == len(running.clients))
        running.publish("heard")
        assert [receive(client) for client in running.clients] == ["HEARD"] * 2
        running.network.refuse()
        running.network.cut(reset=reset)
        for client in running.clients:
            with pytest.raises(ConnectionClosed):
                receive(client)
            assert client.close_code == 1011
        running.network.allow()
        wait_for(running.opens)
        assert "Translating lost its own connection to Redis" in running.server.log
        assert "Traceback" not in running.server.log


GARBLED: dict[str, Callable[[bytes], bytes]] = {
    "inserted": lambda data: b"\x00\xffjunk" + data,
    "flipped": lambda data: bytes(byte ^ 0x15 for byte in data),
    "one answer too many": lambda data: b"+OK\r\n" + data,
    "another kind": lambda data: b"+OK\r\n",
    "without an end": lambda data: b"$99999999\r\n" + data,
    "cut short": lambda data: data[: len(data) // 2],
}


@pytest.mark.parametrize("damage", GARBLED)
def test_garbled_answers(damage: str, site: Start) -> None:
    with site() as running:
        running.network.answers.change = GARBLED[damage]
        running.refuses()
        running.said("The link to Redis broke")
        running.refuses()
        running.pages_stay()
        running.publishing_fails()
        running.network.answers.change = None
        running.said("Redis is back")
        running.recovers()
