"""The subprotocol ``ws4redis.v1``, word by word, as its page describes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.test import override_settings
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.servers import RedisServer, Server, serving
from tests.v1 import parse
from tests.waiting import PATIENCE, wait_for
from ws4redis.conf import get_histories
from ws4redis.publisher import RedisPublisher

KINDS = ("serve", "uwsgi-router", "gunicorn-gthread")
HISTORY = {"kept*": {"length": 100}}
ALL = "subscribe-broadcast&publish-broadcast"
HEARTBEAT = "--heartbeat--"


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, directory: Path, redis_server: RedisServer, users: Any
) -> Iterator[Server]:
    settings = {
        "WS4REDIS_HISTORY": HISTORY,
        "WS4REDIS_HEARTBEAT": HEARTBEAT,
        "WS4REDIS_ALLOWED_CHANNELS": "tests.policies.nobody_on_secret",
        "WS4REDIS_MAX_CHANNELS": 4,
        # Some tests end sessions behind its back.
        "WS4REDIS_AUTH_SWEEP": None,
    }
    with serving(request.param, directory, redis_server.url, **settings) as running:
        yield running


@pytest.fixture(autouse=True)
def history() -> Iterator[None]:
    """Publish as the server's own site does."""
    with override_settings(WS4REDIS_HISTORY=HISTORY):
        yield


class Client:
    """One end of a websocket that speaks ``ws4redis.v1``."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket

    def read(self) -> tuple[dict[str, Any], Any]:
        """Return the next head, and its payload."""
        while (data := self.websocket.recv(timeout=PATIENCE)) == HEARTBEAT:
            pass
        return parse(data)

    def head(self) -> dict[str, Any]:
        head, payload = self.read()
        assert payload is None, (head, payload)
        return head

    def say(self, kind: str, payload: str | bytes | None = None, **values: Any) -> None:
        line = json.dumps({"type": kind, **values})
        if isinstance(payload, bytes):
            self.websocket.send(line.encode() + b"\n" + payload)
        else:
            self.websocket.send(line if payload is None else f"{line}\n{payload}")


@pytest.fixture
def join(server: Server, open_websocket: Any) -> Any:
    """Opens a websocket on an address; returns its client and its welcome."""

    def joined(address: str, **options: Any) -> tuple[Client, dict[str, Any]]:
        websocket = open_websocket(
            server.url(address), subprotocols=["other", "ws4redis.v1"], **options
        )
        assert websocket.subprotocol == "ws4redis.v1"
        client = Client(websocket)
        return client, client.head()

    return joined


def publish(facility: str, message: Any, **audience: Any) -> None:
    RedisPublisher(facility=facility, **(audience or {"broadcast": True})).publish_message(message)


def since(**positions: str) -> str:
    return "".join(f"&since=broadcast:{name}@{quote(place)}" for name, place in positions.items())


def test_a_welcome_says_what_is_subscribed_and_where_it_begins(
    join: Any, facility: str, cookies: dict[str, str]
) -> None:
    name = f"kept-{facility}"
    _, empty = join(f"{name}?{ALL}")
    place = empty["channels"][f"broadcast:{name}"].pop("position")
    assert place.startswith("*")
    assert place.endswith(":0")
    assert empty == {
        "type": "welcome",
        "facility": name,
        "channels": {f"broadcast:{name}": {}},
        "publishes": [f"broadcast:{name}"],
        "refused": {},
    }
    publish(name, "one")
    flags = "subscribe-user&subscribe-session&subscribe-group"
    _, full = join(f"{name}?{flags}", cookie=cookies["john"])
    # The key of a session is nobody's business, not even that of the page's own scripts.
    own = {f"user:john:{name}", f"session:{name}", f"group:chatters:{name}"}
    assert set(full["channels"]) == own
    _, plain = join(f"{facility}?subscribe-broadcast&subscribe-user")
    assert plain["channels"] == {f"broadcast:{facility}": {}}
    assert plain["refused"] == {"subscribe-user": "nobody is logged in"}
    assert plain["publishes"] == []


def test_a_message_tells_channel_and_position(join: Any, facility: str) -> None:
    name = f"kept-{facility}"
    client, _ = join(f"{name}?{ALL}")
    for message in ("first\nline", b"\xff\x00", ""):
        publish(name, message)
    heads, payloads = zip(*(client.read() for _ in range(3)), strict=True)
    assert list(payloads) == ["first\nline", b"\xff\x00", ""]
    epoch = heads[0]["position"].partition(":")[0]
    assert [head["position"] for head in heads] == [f"{epoch}:{number}" for number in (1, 2, 3)]
    assert {head["channel"] for head in heads} == {f"broadcast:{name}"}
    # Whoever publishes by hand on the documented name is heard, too.
    RedisPublisher()._connection.publish(f"broadcast:{name}", "by hand")
    assert client.read() == ({"type": "message", "channel": f"broadcast:{name}"}, "by hand")


def test_who_is_new_gets_the_persisted_message_and_who_was_here_what_was_missed(
    join: Any, facility: str
) -> None:
    name = f"kept-{facility}"
    for number in range(5):
        publish(name, str(number))
    client, welcome = join(f"{name}?{ALL}")
    place = welcome["channels"][f"broadcast:{name}"]["position"]
    persisted = {"type": "message", "channel": f"broadcast:{name}", "persisted": True}
    assert client.read() == (persisted, "4")
    epoch = place.partition(":")[0]
    client, welcome = join(f"{name}?{ALL}" + since(**{name: f"{epoch}:2"}))
    assert welcome["channels"][f"broadcast:{name}"] == {
        "position": f"{epoch}:2",
        "recovered": True,
    }
    publish(name, "5")
    assert [client.read()[1] for _ in range(4)] == ["2", "3", "4", "5"]


@pytest.mark.parametrize("place", ["00000000:2", "{epoch}:6"])
def test_what_can_not_be_had_is_told_and_nothing_of_it_comes(
    join: Any, facility: str, place: str
) -> None:
    name = f"kept-{facility}"
    for number in range(5):
        publish(name, str(number))
    _, welcome = join(f"{name}?{ALL}")
    now = welcome["channels"][f"broadcast:{name}"]["position"]
    asked = place.format(epoch=now.partition(":")[0])
    client, welcome = join(f"{name}?{ALL}" + since(**{name: asked}))
    told = {"position": now, "recovered": False}
    assert welcome["channels"] == {f"broadcast:{name}": told}
    publish(name, "live")
    assert client.read()[1] == "live"


def test_what_was_trimmed_is_not_recovered_in_part(join: Any, facility: str) -> None:
    name = f"kept-{facility}"
    publish(name, "0")
    histories = get_histories()
    position = RedisPublisher()._connection.hget(f"ws4redis:positions:broadcast:{name}", "epoch")
    assert histories.retention(f"broadcast:{name}").length == 100
    for number in range(1, 400):
        publish(name, str(number))
    _, welcome = join(f"{name}?{ALL}" + since(**{name: f"{position.decode()}:1"}))
    assert welcome["channels"][f"broadcast:{name}"]["recovered"] is False


@pytest.mark.parametrize("bad", ["nonsense", "broadcast:x@", "broadcast:x@a:-1", "x@1:1:1"])
def test_a_malformed_position_is_refused(server: Server, open_websocket: Any, bad: str) -> None:
    from tests.acceptance.test_limits import refusal

    assert refusal(open_websocket, server.url(f"kept?{ALL}&since={bad}")) == 400


def test_further_facilities_are_subscribed_over_the_open_websocket(
    join: Any, facility: str
) -> None:
    other = f"kept-{facility}/2"
    for number in range(3):
        publish(other, str(number))
    _, welcome = join(f"{other}?{ALL}")
    epoch = welcome["channels"][f"broadcast:{other}"]["position"].partition(":")[0]
    client, _ = join(f"{facility}?{ALL}")
    client.say(
        "subscribe",
        id=7,
        facility=other,
        channels=["subscribe-broadcast", "publish-broadcast"],
        since={f"broadcast:{other}": f"{epoch}:1"},
    )
    # Carried out in order: it is subscribed by then.
    client.say("publish", "own", facility=other)
    told = client.head()
    assert (told["type"], told["id"], told["facility"]) == ("subscribed", 7, other)
    assert told["channels"] == {f"broadcast:{other}": {"position": f"{epoch}:1", "recovered": True}}
    assert [client.read()[1] for _ in range(2)] == ["1", "2"]
    publish(other, "others")
    publish(facility, "first facility")
    assert [client.read()[1] for _ in range(2)] == ["others", "first facility"]
    client.say("unsubscribe", id=8, facility=other)
    assert client.head() == {"type": "unsubscribed", "id": 8, "facility": other}
    publish(other, "unheard")
    publish(facility, "heard")
    assert client.read()[1] == "heard"


def test_subscribing_again_replaces_the_subscription(join: Any, facility: str) -> None:
    client, _ = join(f"{facility}?{ALL}")
    client.say("subscribe", id=1, facility=facility, channels=["subscribe-broadcast"])
    assert client.head()["publishes"] == []
    publish(facility, "once")
    publish(facility, "twice")
    assert [client.read()[1] for _ in range(2)] == ["once", "twice"]


def test_own_messages_come_back_only_with_echo(join: Any, facility: str) -> None:
    quiet, _ = join(f"{facility}?{ALL}")
    loud, _ = join(f"{facility}?{ALL}&echo")
    loud.say("publish", "loud", facility=facility)
    assert loud.read()[1] == "loud"
    assert quiet.read()[1] == "loud"
    quiet.say("publish", b"\xfe", facility=facility)
    assert loud.read()[1] == b"\xfe"
    loud.say("publish", "end", facility=facility)
    assert quiet.read()[1] == loud.read()[1] == "end"


def test_each_facility_is_decided_by_the_policy(join: Any, facility: str) -> None:
    client, _ = join(f"{facility}?{ALL}")
    for identifier, name, status in ((1, "secret", 403), (2, "", 404), (3, "bad\x01name", 404)):
        client.say("subscribe", id=identifier, facility=name, channels=["subscribe-broadcast"])
        refused = client.head()
        assert (refused["type"], refused["id"], refused["status"]) == (
            "refused",
            identifier,
            status,
        )
    client.say("publish", "x", facility="secret", id=4)
    assert client.head()["status"] == 404
    client.say("subscribe", id=5, facility="more", channels=["subscribe-broadcast"])
    assert client.head()["type"] == "subscribed"
    client.say("publish", "x", facility="more", id=6)
    assert client.head()["status"] == 403
    publish(facility, "still open")
    assert client.read()[1] == "still open"


def test_channels_are_counted_over_all_facilities(join: Any, facility: str) -> None:
    client, _ = join(f"{facility}?{ALL}")
    for number in range(4):
        client.say(
            "subscribe", id=number, facility=f"{facility}{number}", channels=["subscribe-broadcast"]
        )
    kinds = [client.head()["type"] for _ in range(4)]
    assert kinds == ["subscribed", "subscribed", "subscribed", "refused"]


def test_a_login_that_has_ended_subscribes_nothing_more(
    join: Any, facility: str, users: Any
) -> None:
    from django.contrib.sessions.backends.db import SessionStore
    from django.test import Client as Browser

    browser = Browser()
    browser.force_login(users["john"])
    key = browser.cookies["sessionid"].value
    client, _ = join(f"{facility}?{ALL}", cookie=f"sessionid={key}")
    # Nobody is told, unlike by a logout.
    SessionStore(key).delete()
    client.say("subscribe", id=1, facility=f"{facility}x", channels=["subscribe-user"])
    refused = client.head()
    assert (refused["type"], refused["status"]) == ("refused", 403)


@pytest.mark.parametrize(
    "words",
    [
        "no json",
        "[]",
        "{}",
        '{"type":"dance","facility":"x"}',
        '{"type":"subscribe","facility":"x","channels":["subscribe-broadcast"]}',
        '{"type":"subscribe","id":1,"facility":"x","channels":"subscribe-broadcast"}',
        '{"type":"subscribe","id":1,"facility":5,"channels":[]}',
        '{"type":"subscribe","id":1,"facility":"x","channels":[],"since":[]}',
        '{"type":"publish"}\nx',
        "[" * 100_000,
    ],
)
def test_what_is_no_command_closes_for_good(join: Any, facility: str, words: str) -> None:
    client, _ = join(f"{facility}?{ALL}")
    client.websocket.send(words)
    closing = client.head()
    assert (closing["type"], closing["code"], closing["reconnect"]) == ("closing", 4502, False)
    with pytest.raises(ConnectionClosed):
        client.read()
    assert client.websocket.close_code == 4502


def test_a_heartbeat_is_no_command(join: Any, facility: str) -> None:
    client, _ = join(f"{facility}?{ALL}")
    client.websocket.send(HEARTBEAT)
    publish(facility, "still open")
    assert client.read()[1] == "still open"


def test_a_stop_says_when_to_come_back(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    with serving("serve", tmp_path, redis_server.url) as server:
        url = server.url(f"{facility}?{ALL}")
        client = Client(open_websocket(url, subprotocols=["ws4redis.v1"]))
        client.head()
    closing = client.head()
    assert closing["type"] == "closing"
    assert closing["code"] == 1001
    assert closing["reconnect"] is True
    assert 0 <= closing["delay"] < 2000


def test_a_lost_link_is_a_gap_only_where_nothing_is_kept(
    tmp_path: Path,
    own_redis: RedisServer,
    users: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    kept, plain = f"kept-{facility}", f"plain-{facility}"
    with (
        override_settings(WS4REDIS_CONNECTION=own_redis.url),
        serving("serve", tmp_path, own_redis.url, WS4REDIS_HISTORY=HISTORY) as server,
    ):
        clients = {
            name: Client(open_websocket(server.url(f"{name}?{ALL}"), subprotocols=["ws4redis.v1"]))
            for name in (kept, plain)
        }
        raw = open_websocket(server.url(f"{kept}?{ALL}"))
        for client in clients.values():
            client.head()
        redis = own_redis.client()
        redis.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB")
        for number in range(3):
            publish(kept, str(number))
        assert clients[plain].head() == {"type": "gap", "channel": f"broadcast:{plain}"}
        assert [clients[kept].read()[1] for _ in range(3)] == ["0", "1", "2"]
        # Who does not speak it is caught up all the same.
        assert [raw.recv(timeout=PATIENCE) for _ in range(3)] == ["0", "1", "2"]
        # What is gone is told: Redis starts again without its data.
        own_redis.stop()
        own_redis.start()
        gap = clients[kept].head()
        assert gap.pop("position").endswith(":0")
        assert gap == {"type": "gap", "channel": f"broadcast:{kept}"}
        wait_for(lambda: redis.publish(f"broadcast:{kept}", "anybody?"))
        publish(kept, "new")
        assert [clients[kept].read()[1] for _ in range(2)] == ["anybody?", "new"]
