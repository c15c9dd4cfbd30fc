"""What happens while the link to Redis is cut, silent, slow, refused or garbled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from django.test import override_settings
from websockets.exceptions import InvalidStatus

from tests.acceptance.test_facility import receive
from tests.raw import RawClient
from tests.servers import RedisServer, Server, serving
from tests.tcp_proxy import TcpProxy
from tests.waiting import PATIENCE, wait_for
from ws4redis.exceptions import BusError
from ws4redis.publisher import RedisPublisher

MAIN = ("serve", "uwsgi-router", "uwsgi-threads", "gunicorn-gthread", "gunicorn-gevent")
TIMEOUT = 0.5
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
        self.clients = [open_websocket(server.url(f"foo?{BOTH}")) for _ in range(2)]
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
            self._open(self.server.url("new?subscribe-broadcast"), open_timeout=PATIENCE)
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

    def publishing_fails(self) -> str:
        """A publisher gets the documented error, soon; return its text."""
        if self.server.kind != "serve":
            answer = self.page("/publish/foo")
            assert answer.startswith("HTTP/1.1 503 "), answer
            assert "could not be used" in answer
        return self._failure()

    def _failure(self) -> str:
        failures: list[BaseException] = []

        def publish() -> None:
            try:
                self.publish("never")
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=publish, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert [type(failure) for failure in failures] == [BusError]
        return str(failures[0])

    def publish(self, text: str) -> int | None:
        with override_settings(
            WS4REDIS_CONNECTION=self.network.url, WS4REDIS_REDIS_TIMEOUT=TIMEOUT
        ):
            return RedisPublisher(facility="foo", broadcast=True).publish_message(text, expire=0)

    def recovers(self) -> None:
        """Everything works again, for the websockets that were open and for new ones."""
        wait_for(lambda: self.listening() == self.links)
        assert self.publish("live again") == self.links
        assert [receive(client) for client in self.clients] == ["live again"] * 2
        self.clients[0].send("from a client")
        assert receive(self.clients[1]) == "from a client"
        wait_for(self._opens)
        self.pages_stay()
        assert "Traceback" not in self.server.log, self.server.log

    def _opens(self) -> bool:
        try:
            self._open(self.server.url("new?subscribe-broadcast")).close()
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
        with serving(kind, tmp_path, network.url, **settings) as server:
            yield Site(server, network, own_redis, open_websocket)

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
        running.refuses()
        running.pages_stay()
        running.publishing_fails()
        running.said("The link to Redis broke")
        running.refuses()
        running.network.resume()
        running.said("Redis is back")
        running.recovers()
