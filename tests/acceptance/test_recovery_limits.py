"""What recovery costs at most, and what strangers can't do with it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from websockets.sync.client import ClientConnection

from tests.acceptance.test_v1 import Client
from tests.raw import RawClient
from tests.servers import RedisServer, Server, serving
from tests.waiting import wait_for
from ws4redis.publisher import RedisPublisher

HISTORY: dict[str, Any] = {"kept*": {}}


@pytest.fixture
def site(tmp_path: Path, own_redis: RedisServer, users: Any) -> Iterator[Server]:
    settings = {
        "WS4REDIS_HISTORY": HISTORY,
        "WS4REDIS_MAX_MESSAGE_RATE": None,
        "WS4REDIS_MAX_CHANNELS": 300,
        "ALLOWED_HOSTS": ["127.0.0.1"],
    }
    with (
        override_settings(WS4REDIS_CONNECTION=own_redis.url, WS4REDIS_HISTORY=HISTORY),
        serving("serve", tmp_path, own_redis.url, **settings) as server,
    ):
        yield server


@pytest.fixture
def join(site: Server, open_websocket: Any) -> Any:
    def joined(facility: str, more: str = "") -> Client:
        websocket: ClientConnection = open_websocket(
            site.url(f"{facility}?subscribe-broadcast&publish-broadcast{more}"),
            subprotocols=["ws4redis.v1"],
            max_size=None,
        )
        return Client(websocket)

    return joined


def publish(facility: str, message: str) -> None:
    RedisPublisher(facility=facility, broadcast=True).publish_message(message, expire=0)


@pytest.mark.parametrize(("facilities", "messages", "size"), [(1, 200, 200_000), (250, 30, 4000)])
def test_however_much_was_missed_the_link_bears_it(
    site: Server,
    own_redis: RedisServer,
    join: Any,
    facility: str,
    facilities: int,
    messages: int,
    size: int,
) -> None:
    names = [f"kept-{facility}-{number}" for number in range(facilities)]
    client = join(names[0])
    client.head()
    for number, name in enumerate(names[1:]):
        client.say("subscribe", id=number, facility=name, channels=["subscribe-broadcast"])
        assert client.head()["type"] == "subscribed"
    # While the process stands still, Redis cuts its link, and forty megabytes are published.
    os.kill(site.process.pid, signal.SIGSTOP)
    try:
        with own_redis.client() as redis:
            redis.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB")
        for name in names:
            for number in range(messages):
                publish(name, f"{number} ".ljust(size, "x"))
    finally:
        os.kill(site.process.pid, signal.SIGCONT)
    got: dict[str, list[int]] = {}
    for _ in range(facilities * messages):
        head, payload = client.read()
        assert head["type"] == "message", head
        got.setdefault(head["channel"], []).append(int(payload.split()[0]))
    assert len(got) == facilities
    assert all(numbers == list(range(messages)) for numbers in got.values())
    assert site.log.count("The link to Redis broke") == 1


def test_a_stranger_who_asks_for_everything_costs_nobody_the_link(
    site: Server, join: Any, facility: str
) -> None:
    name = f"kept-{facility}"
    first = join(name)
    place = first.head()["channels"][f"broadcast:{name}"]["position"]
    for _ in range(100):
        publish(name, "x" * 400_000)
    for _ in range(100):
        first.read()
    stranger = join(name, f"&since=broadcast:{name}@{place}")
    # More than is held for one websocket; it is told so, and not given a part.
    assert stranger.head()["channels"][f"broadcast:{name}"]["recovered"] is False
    publish(name, "live")
    assert stranger.read()[1] == first.read()[1] == "live"
    assert "The link to Redis broke" not in site.log


def test_facilities_without_channels_count_too(join: Any, facility: str) -> None:
    client = join(facility)
    client.head()
    for number in range(299):
        client.say("subscribe", id=number, facility=f"{facility}{number}", channels=[])
        assert client.head()["type"] == "subscribed"
    client.say("subscribe", id=999, facility=f"{facility}-more", channels=[])
    assert client.head()["status"] == 403


def test_order_is_kept_when_redis_has_forgotten_the_scripts(
    own_redis: RedisServer, site: Server, join: Any, facility: str
) -> None:
    name = f"kept-{facility}"
    listener, client = join(name), join(name)
    for one in (listener, client):
        one.head()
    with own_redis.client() as redis:
        redis.script_flush()
        redis.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB")
        wait_for(lambda: "Redis is back" in site.log)
        for number in range(20):
            client.say("publish", str(number), facility=name)
        assert [listener.read()[1] for _ in range(20)] == [str(number) for number in range(20)]
        # None had to be sent again, behind others.
        assert "errorstat_NOSCRIPT" not in redis.info("errorstats")


def test_a_stream_without_an_origin_needs_a_host_of_ours(site: Server) -> None:
    events = {
        "Accept": "text/event-stream",
        "Upgrade": None,
        "Connection": "close",
        "Sec-Fetch-Site": "same-origin",
    }
    path = "/ws/secret?subscribe-broadcast"
    for host in ("evil.example", "127.0.0.1.evil.example", "[", ""):
        answer = RawClient.ask(site, path, {**events, "Host": host})
        assert not answer.startswith("HTTP/1.1 200"), (host, answer)
    with site.connect() as stream:
        headers = {name: value for name, value in events.items() if value is not None}
        stream.sendall(RawClient.request(site.host, path, headers))
        assert stream.recv(4096).startswith(b"HTTP/1.1 200")


def test_what_a_sites_own_subscriber_says_names_its_facility(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    settings = {"WS4REDIS_SUBSCRIBER": "tests.subscribers.Welcoming"}
    with serving("serve", tmp_path, redis_server.url, **settings) as server:
        url = server.url(f"{facility}?subscribe-broadcast")
        client = Client(open_websocket(url, subprotocols=["ws4redis.v1"]))
        client.head()
        head, payload = client.read()
        assert head == {"type": "message", "facility": facility}
        assert payload.startswith("welcome, ")


def test_a_half_character_closes_for_good(join: Any, facility: str) -> None:
    client = join(facility)
    client.head()
    command = {"type": "subscribe", "id": 1, "facility": "\ud800", "channels": []}
    client.websocket.send(json.dumps(command))
    assert client.head()["code"] == 4502


def test_a_refused_stream_is_not_told_as_open(site: Server, facility: str) -> None:
    events: dict[str, Any] = {"Accept": "text/event-stream", "Upgrade": None, "Connection": "close"}
    answer = RawClient.ask(site, f"/ws/{facility}?subscribe-broadcast", events, method="HEAD")
    assert answer.startswith("HTTP/1.1 200")
    assert f"Opened '/ws/{facility}'" not in site.log
