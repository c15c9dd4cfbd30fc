"""Streams of events, and publishing by POST, through every kind of server."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.test import override_settings

from tests.acceptance.test_facility import publish, receive
from tests.acceptance.test_rights import Member
from tests.chromium import chromium
from tests.eventsource import EventSource
from tests.raw import RawClient
from tests.servers import ROOT, RedisServer, Server, end, serving
from tests.waiting import PATIENCE, wait_for

KINDS = (
    *("serve", "uwsgi", "uwsgi-router", "gunicorn-gevent", "gunicorn-gthread", "runserver"),
    *("nginx-upgrade", "apache"),
)
HISTORY = {"WS4REDIS_HISTORY": {"kept*": {"length": 100}}}
SETTINGS = HISTORY | {
    "WS4REDIS_MAX_MESSAGE_SIZE": 1000,
    "WS4REDIS_MAX_CONNECTIONS": 50,
    "WS4REDIS_MAX_MESSAGE_RATE": None,
}
TOKEN = "a" * 32
GOOD = {"Cookie": f"csrftoken={TOKEN}", "X-CSRFToken": TOKEN}

Open = Callable[..., EventSource]


@contextmanager
def running(
    kind: str,
    directory: Path,
    redis_url: str,
    changes: dict[str, str] | None = None,
    **settings: Any,
) -> Iterator[Server]:
    """Run a server that does not wait long in the end: the clients here don't close in answer."""
    quick = {"WS4REDIS_DRAIN_TIME": 0.5}
    with serving(kind, directory, redis_url, changes, **quick, **settings) as server:
        yield server


@pytest.fixture(scope="module", params=KINDS)
def door(
    request: pytest.FixtureRequest, directory: Path, redis_server: RedisServer, users: Any
) -> Iterator[Server]:
    with running(request.param, directory, redis_server.url, **SETTINGS) as server:
        yield server


@pytest.fixture
def open_stream() -> Iterator[Open]:
    """Opens streams and closes them in the end."""
    with ExitStack() as stack:

        def opened(*arguments: Any, **options: Any) -> EventSource:
            stream = EventSource(*arguments, **options)
            stack.callback(stream.close)
            return stream

        yield opened


@pytest.fixture(autouse=True)
def histories() -> Iterator[None]:
    """Let the test publish as the servers do."""
    with override_settings(**HISTORY):
        yield


def ask(
    server: Server, address: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the headers and the body of an answer that ends by itself."""
    connection = http.client.HTTPConnection(server.host, timeout=PATIENCE)
    connection.sock = server.connect()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with connection.sock:
        connection.request(method, f"/ws/{address}", body, named)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, found, answer.read()


def post(server: Server, address: str, body: bytes = b"hi", **changes: str) -> int:
    headers = {name: value for name, value in (GOOD | changes).items() if value}
    return ask(server, address, "POST", body, **headers)[0]


def refusal(server: Server, address: str, **headers: str) -> int:
    status, found, _ = ask(server, address, Accept="text/event-stream", **headers)
    assert found["x-ws4redis-refused"] == "handshake"
    return status


def bodies(stream: EventSource, count: int) -> list[str]:
    return [stream.next().payload for _ in range(count)]


def test_messages_come_as_they_are_published(
    door: Server, facility: str, open_stream: Open
) -> None:
    stream = open_stream(door, f"{facility}?subscribe-broadcast&publish-user")
    assert stream.status == 200
    assert stream.response.getheader("Content-Type") == "text/event-stream"
    assert stream.response.getheader("Cache-Control") == "no-store"
    assert stream.response.getheader("Content-Length") is None
    if not door.is_proxied:
        assert stream.response.getheader("X-Accel-Buffering") == "no"
        assert stream.response.getheader("Transfer-Encoding") is None
    welcome = stream.next("welcome")
    assert welcome.head == {
        "type": "welcome",
        "facility": facility,
        "channels": {f"broadcast:{facility}": {}},
        "publishes": [],
        "refused": {"publish-user": "nobody is logged in"},
    }
    assert 1000 <= (welcome.retry or 0) <= 3000
    sent = [f"message {number}" for number in range(300)]
    for message in sent:
        publish(facility, message)
    assert bodies(stream, 300) == sent
    assert stream.parser.last_event_id == ""


def test_what_a_page_gets_is_what_was_published(
    door: Server, facility: str, open_stream: Open
) -> None:
    stream = open_stream(door, f"{facility}?subscribe-broadcast")
    stream.next("welcome")
    texts = ["one\ntwo\n\nfour\n", " a space", "", "data: x\nid: 7\n\nevent: y", "\ufeffÄ\u2028\0"]
    for text in texts:
        publish(facility, text)
    assert bodies(stream, len(texts)) == texts
    for number, payload in enumerate([b"\xff\0\n\x80", b"one\r\ntwo\rthree"]):
        publish(facility, payload)
        event = stream.next()
        assert event.head["base64"] is True
        assert event.head.get("text", False) is bool(number)
        assert b64decode(event.payload) == payload


def test_the_persisted_message_comes_first(door: Server, facility: str, open_stream: Open) -> None:
    publish(facility, "older")
    publish(facility, "persisted")
    stream = open_stream(door, f"{facility}?subscribe-broadcast")
    stream.next("welcome")
    first = stream.next()
    assert (first.head["persisted"], first.payload) == (True, "persisted")
    publish(facility, "live")
    assert bodies(stream, 1) == ["live"]


def test_a_stream_goes_on_where_the_last_one_ended(
    door: Server, facility: str, open_stream: Open
) -> None:
    name = f"kept, {facility}"
    address = f"kept,%20{facility}?subscribe-broadcast"
    first = open_stream(door, address)
    beginning = first.next("welcome").last_event_id
    assert beginning.startswith(f"broadcast:kept%2C%20{facility}@")
    for number in range(10):
        publish(name, f"{number}")
    assert bodies(first, 5) == ["0", "1", "2", "3", "4"]
    first.close()
    # The header is newer than what stands in the address of the page.
    since = f"broadcast:{name}@{beginning.rpartition('@')[2]}".replace(" ", "%20")
    second = open_stream(door, f"{address}&since={since}", first.parser.last_event_id)
    welcome = second.next("welcome")
    assert welcome.head["channels"][f"broadcast:{name}"]["recovered"] is True
    assert welcome.last_event_id == first.parser.last_event_id
    publish(name, "live")
    assert bodies(second, 6) == ["5", "6", "7", "8", "9", "live"]
    third = open_stream(door, f"{address}&since={since}")
    third.next("welcome")
    assert len(bodies(third, 11)) == 11


def test_a_stream_of_several_channels_goes_on_in_each_of_them(
    door: Server, cookies: Any, facility: str, open_stream: Open
) -> None:
    name = f"kept{facility}"
    address = f"{name}?subscribe-broadcast&subscribe-user"
    john: dict[str, Any] = {"users": ["john"]}
    first = open_stream(door, address, Cookie=cookies["john"])
    first.next("welcome")
    publish(name, "to all", broadcast=True)
    publish(name, "to john", **john)
    assert bodies(first, 2) == ["to all", "to john"]
    first.close()
    for number in range(3):
        publish(name, f"missed by all {number}", broadcast=True)
        publish(name, f"missed by john {number}", **john)
    second = open_stream(door, address, first.parser.last_event_id, Cookie=cookies["john"])
    recovered = second.next("welcome").head["channels"].values()
    assert [channel["recovered"] for channel in recovered] == [True, True]
    publish(name, "live", broadcast=True)
    missed = bodies(second, 2)
    second.close()
    third = open_stream(door, address, second.parser.last_event_id, Cookie=cookies["john"])
    third.next("welcome")
    missed += bodies(third, 5)
    assert sorted(missed) == sorted(
        [
            *(f"missed by all {n}" for n in range(3)),
            *(f"missed by john {n}" for n in range(3)),
            "live",
        ]
    )


def test_what_is_gone_is_not_half_recovered(
    door: Server, facility: str, open_stream: Open, redis_client: Any
) -> None:
    name = f"kept{facility}"
    first = open_stream(door, f"{name}?subscribe-broadcast")
    first.next("welcome")
    publish(name, "before")
    assert bodies(first, 1) == ["before"]
    for number in range(5):
        publish(name, f"{number}")
    redis_client.xtrim(f"ws4redis:stream:broadcast:{name}", maxlen=2, approximate=False)
    second = open_stream(door, f"{name}?subscribe-broadcast", first.parser.last_event_id)
    welcome = second.next("welcome")
    told = welcome.head["channels"][f"broadcast:{name}"]
    assert told["recovered"] is False
    assert welcome.last_event_id == f"broadcast:{name}@{told['position']}"
    publish(name, "live")
    assert bodies(second, 1) == ["live"]


REFUSALS: dict[str, tuple[str, dict[str, str], int]] = {
    "origin": ("{}?subscribe-broadcast", {"Origin": "http://evil.example"}, 403),
    "a request of another site": ("{}?subscribe-broadcast", {"Sec_Fetch_Site": "cross-site"}, 403),
    "facility": ("?subscribe-broadcast", {}, 404),
    "since": ("{}?subscribe-broadcast&since=nowhere", {}, 400),
    "last id": ("{}?subscribe-broadcast", {"Last_Event_ID": "nowhere"}, 400),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_an_answer(door: Server, facility: str, name: str) -> None:
    address, headers, status = REFUSALS[name]
    assert refusal(door, address.format(facility), **headers) == status


@pytest.mark.parametrize(
    ("limit", "status"),
    [("", 503), ("_PER_ADDRESS", 429), ("_PER_USER", 429), ("_PER_SESSION", 429)],
)
def test_a_stream_takes_a_place_until_it_ends(
    limit: str,
    status: int,
    tmp_path: Path,
    redis_server: RedisServer,
    cookies: Any,
    facility: str,
    open_stream: Open,
) -> None:
    settings = {f"WS4REDIS_MAX_CONNECTIONS{limit}": 2}
    john = cookies["john"]
    with running("serve", tmp_path, redis_server.url, **settings) as server:
        address = f"{facility}?subscribe-broadcast&publish-broadcast"
        streams = [open_stream(server, address, Cookie=john) for _ in range(2)]
        for stream in streams:
            stream.next("welcome")
        assert refusal(server, address, Cookie=john) == status
        # What is posted takes none.
        assert post(server, address, Cookie=f"{john}; csrftoken={TOKEN}") == 204
        streams[0].close()
        wait_for(lambda: open_stream(server, address, Cookie=john).status == 200)
        assert refusal(server, address, Cookie=john) == status


@pytest.mark.parametrize(
    ("setting", "value", "status"),
    [
        ("WS4REDIS_MAX_CHANNELS", 1, 403),
        ("WS4REDIS_REFUSE_UNRESOLVED", True, 403),
        ("WS4REDIS_FACILITY_PATTERN", "[a-z]", 404),
    ],
)
def test_a_limit_of_a_handshake_is_one_of_streams_and_posts(
    setting: str, value: Any, status: int, tmp_path: Path, redis_server: RedisServer, cookies: Any
) -> None:
    with running("serve", tmp_path, redis_server.url, **{setting: value}) as server:
        cookie = cookies["john"] if setting == "WS4REDIS_MAX_CHANNELS" else ""
        address = "f00?subscribe-user&publish-broadcast"
        assert refusal(server, address, Cookie=cookie) == status
        assert post(server, address, Cookie=f"{cookie}; csrftoken={TOKEN}") == status


def test_a_page_of_a_trusted_origin_may_read(door: Server, facility: str) -> None:
    origin = door.page
    headers = {"Accept": "text/event-stream", "Origin": origin}
    stream = EventSource(door, f"{facility}?subscribe-broadcast", Origin=headers["Origin"])
    assert stream.response.getheader("Access-Control-Allow-Origin") == origin
    assert stream.response.getheader("Access-Control-Allow-Credentials") == "true"
    stream.close()


def test_the_head_of_a_stream_has_no_body(door: Server, facility: str, redis_client: Any) -> None:
    address = f"{facility}?subscribe-broadcast"
    status, headers, body = ask(door, address, "HEAD", Accept="text/event-stream")
    assert (status, headers["content-type"], body) == (200, "text/event-stream", b"")
    assert redis_client.pubsub_numsub(f"broadcast:{facility}")[0][1] == 0
    evil = {"Accept": "text/event-stream", "Origin": "http://evil.example"}
    assert ask(door, address, "HEAD", **evil)[0] == 403


def test_the_old_http_gets_a_stream_that_ends_with_the_connection(
    door: Server, facility: str
) -> None:
    path = f"/ws/{facility}?subscribe-broadcast"
    headers = {"Accept": "text/event-stream"}
    with door.connect() as client, client.makefile("rb") as answer:
        client.sendall(RawClient.request(door.host, path, headers, protocol="HTTP/1.0"))
        assert b" 200 " in answer.readline()
        head = b"".join(iter(lambda: answer.readline().strip().lower(), b""))
        assert b"chunked" not in head
        assert answer.readline() == b"event: welcome\n"


def test_websockets_and_streams_get_the_same(
    door: Server, facility: str, open_stream: Open, open_websocket: Any
) -> None:
    websocket = open_websocket(door.url(f"{facility}?subscribe-broadcast&publish-broadcast&echo"))
    stream = open_stream(door, f"{facility}?subscribe-broadcast")
    stream.next("welcome")
    websocket.send("from a websocket")
    assert post(door, f"{facility}?publish-broadcast", b"from a post") == 204
    assert receive(websocket) == stream.next().payload == "from a websocket"
    assert receive(websocket) == stream.next().payload == "from a post"


def test_a_post_publishes_any_payload(
    door: Server, facility: str, open_websocket: Any, redis_client: Any
) -> None:
    address = f"{facility}?publish-broadcast"
    websocket = open_websocket(door.url(f"{facility}?subscribe-broadcast"))
    for body in (b"text", b"", bytes(range(256)), b"x" * 1000):
        assert post(door, address, body) == 204
        got = receive(websocket)
        assert (got if isinstance(got, bytes) else got.encode()) == body
    assert redis_client.get(f"broadcast:{facility}") == b"x" * 1000


@pytest.mark.parametrize("door", ["apache"], indirect=True)
def test_posts_at_once_are_all_answered(door: Server, facility: str) -> None:
    """A connection to uWSGI that was used once is about to be closed."""

    def publish(number: int) -> int:
        return post(door, f"{facility}?publish-broadcast", str(number).encode())

    with ThreadPoolExecutor(12) as clients:
        assert set(clients.map(publish, range(1500))) == {204}


def test_a_post_reaches_those_whom_its_flags_name(
    door: Server, cookies: Any, facility: str, open_stream: Open
) -> None:
    john = open_stream(door, f"kept{facility}?subscribe-user", Cookie=cookies["john"])
    mary = open_stream(door, f"kept{facility}?subscribe-user", Cookie=cookies["mary"])
    john.next("welcome")
    mary.next("welcome")
    for name, stream in (("mary", mary), ("john", john)):
        cookie = f"{cookies[name]}; csrftoken={TOKEN}"
        assert post(door, f"kept{facility}?publish-user", b"mine", Cookie=cookie) == 204
        event = stream.next()
        assert event.payload == "mine"
        assert event.head["channel"] == f"user:{name}:kept{facility}"
        assert event.last_event_id.endswith(event.head["position"])


POSTS: dict[str, tuple[str, dict[str, str], bytes, int]] = {
    "no token": ("{}?publish-broadcast", {"X-CSRFToken": ""}, b"", 403),
    "no cookie": ("{}?publish-broadcast", {"Cookie": ""}, b"", 403),
    "another token": ("{}?publish-broadcast", {"X-CSRFToken": "b" * 32}, b"", 403),
    "another origin": ("{}?publish-broadcast", {"Origin": "http://evil.example"}, b"", 403),
    "no origin at all": ("{}?publish-broadcast", {"Origin": "null"}, b"", 403),
    "too big": ("{}?publish-broadcast", {}, b"x" * 1001, 413),
    "nothing to write": ("{}?subscribe-broadcast", {}, b"", 403),
    "not logged in": ("{}?publish-user", {}, b"", 403),
    "no facility": ("?publish-broadcast", {}, b"", 404),
}


def test_a_post_without_a_flag_is_told_which_one_it_needs(door: Server, facility: str) -> None:
    address = f"/ws/{facility}?subscribe-broadcast"
    changes = {"Upgrade": None, "Connection": "close", "Content-Length": "0", **GOOD}
    answer = RawClient.ask(door, address, changes, method="POST")
    assert answer.startswith("HTTP/1.1 403 ")
    assert "its address needs a flag such as publish-broadcast" in answer


@pytest.mark.parametrize("name", POSTS)
def test_a_post_that_may_not_be_is_refused(
    door: Server, facility: str, name: str, open_websocket: Any
) -> None:
    address, changes, body, status = POSTS[name]
    listener = open_websocket(door.url(f"{facility}?subscribe-broadcast"))
    assert post(door, address.format(facility), body, **changes) == status
    publish(facility, "marker")
    assert receive(listener) == "marker"
    assert f"with {status}: " in door.log


def test_a_post_from_a_page_of_the_site(door: Server, facility: str) -> None:
    assert post(door, f"{facility}?publish-broadcast", Origin=door.page) == 204


def test_a_body_without_a_length_is_refused(door: Server, facility: str) -> None:
    if door.is_proxied:
        pytest.skip("the web server in front may count it")
    with door.connect() as client:
        headers = GOOD | {"Transfer-Encoding": "chunked", "Connection": "close"}
        path = f"/ws/{facility}?publish-broadcast"
        client.sendall(RawClient.request(door.host, path, headers, method="POST"))
        client.sendall(b"2\r\nhi\r\n0\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 411 ")


@pytest.mark.parametrize(("kind", "other"), [("serve", "uwsgi"), ("runserver", "gunicorn-gevent")])
def test_nothing_is_lost_when_the_server_is_killed(
    kind: str,
    other: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_stream: Open,
) -> None:
    name = f"kept{facility}"
    address = f"{name}?subscribe-broadcast"
    history = {"WS4REDIS_HISTORY": {"kept*": {"length": 100_000}}}
    with (
        running(kind, tmp_path, redis_server.url, **history) as doomed,
        running(other, tmp_path, redis_server.url, **history) as heir,
        override_settings(**history),
        publishing(name) as published,
    ):
        first = open_stream(doomed, address)
        welcome = first.next("welcome")
        got = [int(first.next().payload) for _ in range(20)]
        doomed.process.kill()
        doomed.process.wait()
        got += [int(event.payload) for event in first.events()]
        known = len(published)
        wait_for(lambda: len(published) > known + 20)
        second = open_stream(heir, address, first.parser.last_event_id)
        assert second.next("welcome").head["channels"][f"broadcast:{name}"]["recovered"] is True
        got += [int(second.next().payload) for _ in range(100)]
    assert welcome.last_event_id
    assert got == list(range(got[0], got[0] + len(got)))


@contextmanager
def publishing(facility: str) -> Iterator[list[int]]:
    """Publish numbers as fast as it goes; yields the list of those that are published."""
    published: list[int] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            publish(facility, f"{len(published)}")
            published.append(len(published))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_for(lambda: published)
        yield published
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("kind", ["serve", "nginx-upgrade", "apache", "uwsgi-router"])
@pytest.mark.parametrize(
    "settings",
    [
        {"WS4REDIS_HEARTBEAT": "beat", "WS4REDIS_HEARTBEAT_INTERVAL": 0.3},
        {"WS4REDIS_PING_INTERVAL": 0.3},
    ],
    ids=["heartbeats", "pings"],
)
def test_heartbeats_and_pings_are_comments(
    kind: str,
    settings: dict[str, Any],
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_stream: Open,
) -> None:
    with running(kind, tmp_path, redis_server.url, **settings) as server:
        stream = open_stream(server, f"{facility}?subscribe-broadcast")
        stream.next("welcome")
        for _ in range(4):
            stream.wait_for_comment()
        publish(facility, "still there")
        assert bodies(stream, 1) == ["still there"]


# The others end the router, or the web server in front, first.
@pytest.mark.parametrize("kind", ["serve", "uwsgi", "gunicorn-gevent", "gunicorn-gthread"])
def test_the_end_of_the_server_is_told(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_stream: Open,
) -> None:
    with running(kind, tmp_path, redis_server.url) as server:
        stream = open_stream(server, f"{facility}?subscribe-broadcast")
        stream.next("welcome")
        server.process.send_signal(signal.SIGTERM)
        last = stream.next("closing")
        assert (last.head["code"], last.head["reconnect"]) == (1001, True)
        assert last.retry == last.head["delay"]
        assert list(stream.events()) == []


def test_who_logs_out_is_told_not_to_come_back(
    door: Server, users: Any, facility: str, open_stream: Open
) -> None:
    member = Member()
    stream = open_stream(door, f"{facility}?subscribe-user", Cookie=member.cookie)
    other = open_stream(door, f"{facility}?subscribe-broadcast")
    stream.next("welcome")
    other.next("welcome")
    member.browser.logout()
    last = stream.next("closing")
    assert (last.head["code"], last.head["reconnect"]) == (4501, False)
    assert "delay" not in last.head
    assert list(stream.events()) == []
    publish(facility, "for the others")
    assert bodies(other, 1) == ["for the others"]


@pytest.mark.parametrize("kind", ["serve", "uwsgi", "gunicorn-gthread"])
def test_a_slow_reader_is_given_up(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_stream: Open,
) -> None:
    with running(kind, tmp_path, redis_server.url, WS4REDIS_OUTBOX_SIZE=2**15) as server:
        address = f"{facility}?subscribe-broadcast"
        lazy = open_stream(server, address, receive_buffer=2048)
        quick = open_stream(server, address)
        quick.next("welcome")

        def is_named() -> bool:
            publish(facility, "x" * 2**16)
            assert bodies(quick, 1) == ["x" * 2**16]
            return "is too slow" in server.log

        wait_for(is_named)
        assert len(list(lazy.events())) < 100
        publish(facility, "the last one")
        assert bodies(quick, 1) == ["the last one"]


def test_a_client_that_acknowledges_nothing_is_given_up(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_stream: Open
) -> None:
    settings = {"WS4REDIS_PING_INTERVAL": 0.5, "WS4REDIS_MAX_CONNECTIONS": 1}
    with running("serve", tmp_path, redis_server.url, **settings) as server:
        address = f"{facility}?subscribe-broadcast"
        silent = open_stream(server, address, receive_buffer=2048)
        silent.next("welcome")
        # Much less than would make it a slow one.
        publish(facility, "x" * 2**19)
        assert refusal(server, address) == 503
        wait_for(lambda: open_stream(server, address).status == 200)
        assert "is too slow" not in server.log


def test_a_loss_of_the_link_to_redis_is_told(
    tmp_path: Path, own_redis: RedisServer, users: Any, facility: str, open_stream: Open
) -> None:
    with running("serve", tmp_path, own_redis.url, **SETTINGS) as server:
        address = f"{facility}?subscribe-broadcast&publish-broadcast"
        stream = open_stream(server, address)
        stream.next("welcome")
        own_redis.stop()
        wait_for(lambda: "The link to Redis broke" in server.log)
        assert refusal(server, address) == 503
        assert post(server, address) == 503
        own_redis.start()
        assert stream.next("gap").head == {"type": "gap", "channel": f"broadcast:{facility}"}
        assert post(server, address) == 204
        assert bodies(stream, 1) == ["hi"]


def test_a_post_goes_through_the_subscriber_of_the_site(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_stream: Open
) -> None:
    own = {"WS4REDIS_SUBSCRIBER": "tests.subscribers.Counting"}
    with running("serve", tmp_path, redis_server.url, **own) as server:
        stream = open_stream(server, f"{facility}?subscribe-broadcast")
        stream.next("welcome")
        address = f"{facility}?publish-broadcast"
        assert post(server, address, b"fail") == 500
        assert "secret detail" in server.log
        assert post(server, address, b"users:") == 204
        assert bodies(stream, 1)[0].startswith("users: ")


@pytest.mark.parametrize(
    ("name", "address", "expected"),
    [
        ("Welcoming", "{}?subscribe-broadcast", ["welcome, N users", "live"]),
        ("Additional", "{}?subscribe-broadcast&subscribe-weather", ["live"]),
        ("Translating", "{}?subscribe-broadcast", ["LIVE"]),
    ],
)
def test_a_stream_goes_through_the_subscriber_of_the_site(
    name: str,
    address: str,
    expected: list[str],
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_stream: Open,
) -> None:
    own = {"WS4REDIS_SUBSCRIBER": f"tests.subscribers.{name}"}
    with running("serve", tmp_path, redis_server.url, **own) as server:
        stream = open_stream(server, address.format(facility))
        stream.next("welcome")
        publish(facility, "live")
        got = [re.sub("[0-9]+", "N", text) for text in bodies(stream, len(expected))]
        assert got == expected


def test_a_subscriber_is_given_up_after_a_post(
    tmp_path: Path, own_redis: RedisServer, users: Any, facility: str
) -> None:
    own = {"WS4REDIS_SUBSCRIBER": "tests.subscribers.Releasing"}
    with (
        running("serve", tmp_path, own_redis.url, **own) as server,
        own_redis.client() as redis_client,
    ):
        assert post(server, f"{facility}?publish-broadcast&subscribe-broadcast") == 204
        assert redis_client.lrange("released", 0, -1) == [f"broadcast:{facility}".encode()]
        # Without a channel it fails, and what is published stays so.
        assert post(server, f"{facility}?publish-broadcast", b"published") == 204
        assert redis_client.get(f"broadcast:{facility}") == b"published"
        assert "Releasing.release failed" in server.log


@pytest.mark.parametrize("kind", ["serve", "gunicorn-gthread"])
def test_who_posts_too_much_is_refused(
    kind: str, tmp_path: Path, redis_server: RedisServer, cookies: Any, facility: str
) -> None:
    with running(kind, tmp_path, redis_server.url, WS4REDIS_MAX_MESSAGE_RATE=0.01) as server:
        address = f"{facility}?publish-broadcast"
        wait_for(lambda: post(server, address) == 429)
        # Others are not concerned.
        john = f"{cookies['john']}; csrftoken={TOKEN}"
        assert post(server, address, Cookie=john) == 204


class Typing:
    """Sends a request piece by piece."""

    def __init__(self, server: Server, facility: str, **headers: str) -> None:
        self._socket = server.connect()
        path = f"/ws/{facility}?publish-broadcast"
        lines = GOOD | {name.replace("_", "-"): value for name, value in headers.items()}
        self.send(RawClient.request(server.host, path, lines, method="POST"))

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def status(self) -> str:
        return self._socket.recv(4096).decode().split("\r\n")[0]

    def close(self) -> None:
        self._socket.close()


def test_a_body_comes_in_time_and_when_it_is_asked_for(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, redis_client: Any
) -> None:
    with running("serve", tmp_path, redis_server.url, WS4REDIS_HANDSHAKE_TIMEOUT=0.5) as server:
        typing = Typing(server, facility, Content_Length="6", Expect="100-continue")
        assert typing.status() == "HTTP/1.1 100 Continue"
        typing.send(b"one")
        typing.send(b"two")
        assert typing.status() == "HTTP/1.1 204 No Content"
        typing.close()
        assert redis_client.get(f"broadcast:{facility}") == b"onetwo"
        slow = Typing(server, facility, Content_Length="6")
        slow.send(b"one")
        assert slow.status() == "HTTP/1.1 408 Request Timeout"
        slow.close()


def test_a_refused_post_gets_its_answer_while_it_sends(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str
) -> None:
    with running("serve", tmp_path, redis_server.url) as server:
        body = bytes(8 * 2**20)
        assert post(server, f"{facility}?publish-broadcast", body) == 413


PAGE = """
window.got = []
window.source = new EventSource("/ws/%s?subscribe-broadcast")
source.onmessage = (event) => got.push(event.data.slice(event.data.indexOf("\\n") + 1))
null
"""
POST = """
([address, token]) => fetch(address, {
    method: "POST", body: "posted", headers: {"X-CSRFToken": token}
}).then((answer) => answer.status)
"""


def test_a_browser_comes_back_and_misses_nothing(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str
) -> None:
    name = f"kept{facility}"
    with (
        running("runserver", tmp_path, redis_server.url, **HISTORY) as server,
        chromium() as browser,
        ExitStack() as stack,
    ):
        page = browser.new_page()
        page.goto(server.page)
        page.evaluate(PAGE % name)
        page.wait_for_function("source.readyState == 1")
        publish(name, "first")
        page.wait_for_function("got.length == 1")
        stack.callback(restarted(server, lambda: publish(name, "missed")))
        page.wait_for_function("got.length == 2 && source.readyState == 1")
        page.context.add_cookies([{"name": "csrftoken", "value": TOKEN, "url": server.page}])
        assert page.evaluate(POST, [f"/ws/{name}?publish-broadcast", TOKEN]) == 204
        assert page.evaluate(POST, [f"/ws/{name}?publish-broadcast", "b" * 32]) == 403
        page.wait_for_function("got.length == 3")
        assert page.evaluate("got") == ["first", "missed", "posted"]


def restarted(server: Server, meanwhile: Callable[[], object]) -> Callable[[], object]:
    """Kill a server and start it again at the same place; return what ends it."""
    process = server.process
    environment = psutil.Process(process.pid).environ()
    process.kill()
    process.wait()
    meanwhile()
    again = subprocess.Popen(process.args, env=environment, cwd=ROOT)
    return lambda: end(again, signal.SIGINT)


CLIENT = """
window.got = []
window.ws = WS4Redis({
    uri: "ws://%s/ws/%s?subscribe-broadcast&publish-broadcast&echo",
    recover: true,
    minDelay: 1,
    receive_message: (message) => got.push(message),
    connected: () => { window.is_connected = true },
})
null
"""


def test_the_client_does_without_a_websocket_where_none_gets_through(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str
) -> None:
    name = f"kept{facility}"
    no_websockets = {"proxy_set_header Upgrade $http_upgrade;": 'proxy_set_header Upgrade "";'}
    with (
        running("nginx-upgrade", tmp_path, redis_server.url, no_websockets, **SETTINGS) as server,
        chromium() as browser,
    ):
        page = browser.new_page()
        page.goto(server.page)
        page.context.add_cookies([{"name": "csrftoken", "value": TOKEN, "url": server.page}])
        page.add_script_tag(path=ROOT / "ws4redis" / "static" / "js" / "ws4redis.js")
        page.evaluate(CLIENT % (server.host, name))
        page.wait_for_function("window.is_connected")
        publish(name, "one\r\ntwo")
        page.wait_for_function("got.length == 1")
        page.evaluate("ws.send_message('from the page')")
        page.wait_for_function("got.length == 2")
        assert page.evaluate("got") == ["one\r\ntwo", "from the page"]
        assert "Traceback" not in server.log


def test_every_server_streams_and_publishes(
    server: Server, facility: str, open_stream: Open
) -> None:
    address = f"{facility}?subscribe-broadcast&publish-broadcast"
    stream = open_stream(server, address, Origin=server.page)
    stream.next("welcome")
    assert post(server, address, b"posted", Origin=server.page) == 204
    assert bodies(stream, 1) == ["posted"]
    assert post(server, address, b"posted", Origin="http://evil.example") == 403
    assert ask(server, address, "HEAD", Accept="text/event-stream")[0] == 200
    publish(facility, "live")
    assert bodies(stream, 1) == ["live"]
    assert "Traceback" not in server.log
