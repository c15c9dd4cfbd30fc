"""Views, and clients of views, that misbehave: whom it harms, and whom not."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from tests.census import SETTINGS as CENSUS
from tests.census import counter, settled
from tests.postgres import PostgresServer
from tests.raw import HANDSHAKE, RawClient
from tests.servers import RedisServer, Server, end, serving
from tests.waiting import PATIENCE, wait_for
from ws4redis.changes import kick

THREADS, GREENLETS = "serve", "serve-patched"
SETTINGS = {
    "WEBSOCKET_URLCONF": "tests.stubborn_urls",
    "WS4REDIS_MAX_MESSAGE_RATE": None,
    "WS4REDIS_MAX_BYTE_RATE": None,
}


@pytest.fixture(params=[THREADS, GREENLETS])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(kind: str, tmp_path: Path, redis_server: RedisServer, users: Any) -> Iterator[Server]:
    with serving(kind, tmp_path, redis_server.url, **SETTINGS) as running:
        yield running


def address(server: Server, path: str) -> str:
    return server.url("").removesuffix("/ws/") + path


def ask(server: Server, path: str) -> dict[str, Any]:
    """Return what a view answers that opens no websocket."""
    answer = RawClient.ask(server, path, {})
    told: dict[str, Any] = json.loads(answer.partition("\r\n\r\n")[2])
    return told


def noted(server: Server) -> list[str]:
    """Return what was noted since the last time, but for this question itself."""
    told: list[str] = ask(server, "/tell/")["noted"]
    return told


def receive(websocket: ClientConnection) -> Any:
    return websocket.recv(timeout=PATIENCE)


def code(websocket: ClientConnection) -> int | None:
    with suppress(ConnectionClosed):
        while True:
            receive(websocket)
    return websocket.close_code


def descriptors(server: Server) -> set[str]:
    """Return the numbers of the event descriptors of a server."""
    directory = Path(f"/proc/{server.process.pid}/fd")
    links = set()
    for one in directory.iterdir():
        with suppress(OSError):
            if os.readlink(one) == "anon_inode:[eventfd]":
                links.add(one.name)
    return links


def test_what_a_view_does_not_receive_waits_at_the_client(server: Server) -> None:
    """The network is full soon, and the memory of the server is not."""
    frame = b"\x82\xff" + struct.pack("!Q", 2**16) + bytes(4) + b"x" * 2**16
    before = psutil.Process(server.process.pid).memory_info().rss
    with server.connect() as client:
        client.sendall(RawClient.request(server.host, "/deaf/", HANDSHAKE))
        assert b" 101 " in client.recv(65536)
        sent = _fill(client, frame)
        grown = psutil.Process(server.process.pid).memory_info().rss - before
        assert grown < 16 * 2**20
        ask(server, "/release/")
        # The view begins to receive, and all comes.
        client.settimeout(PATIENCE)
        whole, rest = divmod(sent, len(frame))
        client.sendall((frame[rest:] if rest else b"") + RawClient.frame(b"end"))
        answer = str(whole + bool(rest)).encode()
        came = b""
        # Pings may come before it.
        while bytes([0x81, len(answer)]) + answer not in came:
            data = client.recv(65536)
            assert data, f"Only {came!r} came."
            came += data


def _fill(client: socket.socket, frame: bytes) -> int:
    """Send a frame again and again until nothing goes for a while; return the bytes."""
    client.settimeout(1)
    sent = 0
    with suppress(TimeoutError):
        while sent < 256 * 2**20:
            sent += client.send(frame[sent % len(frame) :])
    assert sent < 256 * 2**20
    return sent


def test_a_view_that_sends_more_than_a_client_takes_waits_for_it(
    server: Server, open_websocket: Any
) -> None:
    """What waits for a client in the server is bounded, and nobody else is held up."""
    with server.connect() as client:
        client.sendall(RawClient.request(server.host, "/pour/3000/", HANDSHAKE))
        client.recv(1)
        # It is not read from while somebody else is served.
        bystander = open_websocket(address(server, "/echo/"))
        bystander.send("still here")
        assert receive(bystander) == "still here"
        came = _read_to_end(client)
    frames = re.findall(rb"\x81\x7e\x27\x10(\d+) x+", came)
    assert [int(number) for number in frames] == list(range(3000))
    assert came.endswith(b"\x88\x02\x03\xe8")
    assert "is too slow" not in server.log


@pytest.mark.parametrize(("count", "size"), [(2, 2_000_000), (12, 100_000)])
def test_threads_that_send_at_once_wait_for_each_other(
    server: Server, count: int, size: int
) -> None:
    with server.connect() as client:
        client.sendall(RawClient.request(server.host, f"/sluices/{count}/{size}/", HANDSHAKE))
        came = _read_to_end(client)
    head = bytes([0x81, 127]) + struct.pack("!Q", size)
    heads = re.findall(re.escape(head) + rb"(\d+) (\d+) x", came)
    sent = {name: [int(number) for other, number in heads if other == name] for name, _ in heads}
    assert sent == {str(name).encode(): list(range(8)) for name in range(count)}
    assert came.endswith(b"\x88\x02\x03\xe8")
    assert "is too slow" not in server.log


def test_a_client_that_reads_steadily_is_not_given_up_though_it_is_slow(
    kind: str, tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    """Its pong waits behind all that it has to read before."""
    settings = {**SETTINGS, "WS4REDIS_PING_INTERVAL": 0.5}
    with (
        serving(kind, tmp_path, redis_server.url, **settings) as server,
        server.connect(receive_buffer=65536) as client,
    ):
        client.sendall(RawClient.request(server.host, "/pour/1000/", HANDSHAKE))
        client.settimeout(PATIENCE)
        begun, came = time.monotonic(), 0
        while data := client.recv(50_000):
            came += len(data)
            if data.endswith(b"\x88\x02\x03\xe8"):
                break
            # Never faster than ten megabytes in four seconds.
            until = begun + came / 2_500_000
            wait_for(lambda until=until: time.monotonic() >= until)
        assert came > 10_000_000


def test_a_client_that_sends_and_never_reads_is_given_up(
    kind: str, tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    settings = {**SETTINGS, "WS4REDIS_PING_INTERVAL": 0.3}
    frame = b"\x82\xfe" + struct.pack("!H", 60000) + bytes(4) + b"x" * 60000
    with (
        serving(kind, tmp_path, redis_server.url, **settings) as server,
        server.connect() as client,
    ):
        client.sendall(RawClient.request(server.host, "/echo/", HANDSHAKE))
        client.settimeout(PATIENCE)
        with pytest.raises(ConnectionError):
            client.sendall(frame * 2000)
        wait_for(lambda: "answered no ping" in server.log)


def test_a_websocket_that_is_closed_while_it_is_not_read_ends_at_once(server: Server) -> None:
    with server.connect() as client:
        client.sendall(RawClient.request(server.host, "/deaf/", HANDSHAKE))
        client.settimeout(PATIENCE)
        for _ in range(100):
            client.sendall(RawClient.frame(b"hello"))
        end(server.process)
        # Whoever reads gets the end, and no reset over what was never read.
        came = b""
        while data := client.recv(65536):
            came += data
            if b"\x88" in data:
                client.sendall(RawClient.frame(b"\x03\xe9", opcode=8))
    assert b"\x88" in came


def _read_to_end(client: socket.socket) -> bytes:
    """Return all that comes up to the end, or to a close frame with 1000."""
    client.settimeout(PATIENCE)
    came = bytearray()
    while not came.endswith(b"\x88\x02\x03\xe8") and (data := client.recv(2**20)):
        came += data
    return bytes(came)


def test_a_client_that_takes_nothing_is_given_up_by_its_pings(
    kind: str, tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    settings = {**SETTINGS, "WS4REDIS_PING_INTERVAL": 0.3}
    with (
        serving(kind, tmp_path, redis_server.url, **settings) as server,
        server.connect() as client,
    ):
        client.sendall(RawClient.request(server.host, "/pour/100000/", HANDSHAKE))
        wait_for(lambda: "the client is gone" in noted(server))
        wait_for(lambda: "answered no ping" in server.log)


def test_a_view_that_fetches_nothing_of_its_channels_is_closed(
    server: Server, open_websocket: Any, redis_client: Any
) -> None:
    websocket = open_websocket(address(server, "/followed/"))
    assert receive(websocket) == "live"
    bystander = open_websocket(address(server, "/echo/"))
    for _ in range(100):
        redis_client.publish("unfetched", b"x" * 2**16)
    assert code(websocket) == 1013
    wait_for(lambda: "does not fetch what its channels bring" in server.log)
    assert "WS4REDIS_OUTBOX_SIZE" in server.log
    bystander.send("still here")
    assert receive(bystander) == "still here"
    wait_for(lambda: b"unfetched" not in redis_client.pubsub_channels())


@pytest.mark.parametrize(
    "kind", [THREADS, GREENLETS, "gunicorn-gthread", "uwsgi-threads"], indirect=True
)
def test_a_view_that_never_ends_does_not_hold_up_a_stop(
    server: Server, open_websocket: Any, kind: str
) -> None:
    websocket = open_websocket(address(server, "/endless/"))
    assert receive(websocket) == "here"
    begun = time.monotonic()
    end(server.process, signal.SIGINT if kind.startswith("uwsgi") else signal.SIGTERM)
    assert time.monotonic() - begun < PATIENCE / 2
    assert code(websocket) in (1001, 1012)


def test_a_view_that_never_ends_counts_after_its_websocket_has(
    tmp_path: Path, redis_server: RedisServer, users: Any, open_websocket: Any
) -> None:
    settings = {**SETTINGS, "WS4REDIS_VIEW_THREADS": 2}
    with serving(THREADS, tmp_path, redis_server.url, **settings) as server:
        for _ in range(2):
            websocket = open_websocket(address(server, "/endless/"))
            assert receive(websocket) == "here"
            websocket.close()
        with pytest.raises(InvalidStatus) as refused:
            open_websocket(address(server, "/echo/"))
        assert refused.value.response.status_code == 503


@pytest.mark.parametrize(
    "kind", [THREADS, GREENLETS, "gunicorn-gthread", "gunicorn-gevent", "uwsgi-threads"]
)
def test_a_stop_waits_for_views_that_clean_up(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    open_websocket: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WS4REDIS_TEST_PARTING", str(tmp_path))
    with serving(kind, tmp_path, redis_server.url, **SETTINGS) as server:
        for name in ("one", "two"):
            assert receive(open_websocket(address(server, f"/parting/{name}/"))) == "here"
        end(server.process, signal.SIGINT if kind.startswith("uwsgi") else signal.SIGTERM)
    assert (tmp_path / "one").exists()
    assert (tmp_path / "two").exists()


def test_whoever_uses_the_websocket_first_opens_it(server: Server, open_websocket: Any) -> None:
    for _ in range(5):
        websocket = open_websocket(address(server, "/beside/"))
        websocket.send("hello")
        came = [receive(websocket) for _ in range(4)]
        assert sorted(came) == ["hello", "tick 0", "tick 1", "tick 2"]


def test_without_redis_who_subscribes_is_refused_and_who_publishes_is_closed(
    kind: str, tmp_path: Path, own_redis: RedisServer, users: Any, open_websocket: Any
) -> None:
    settings = {**SETTINGS, "WS4REDIS_REDIS_TIMEOUT": 0.5}
    with serving(kind, tmp_path, own_redis.url, **settings) as server:
        websocket = open_websocket(address(server, "/halves/"))
        websocket.send("1")
        websocket.send("[2]")
        # A number is no message, which is the view's fault.
        assert code(websocket) == 1011
        websocket = open_websocket(address(server, "/halves/"))
        websocket.send("[1]")
        assert receive(websocket) == "[1]"
        tracebacks = server.log.count("Traceback")
        own_redis.stop()
        websocket.send("[2]")
        assert code(websocket) == 1013
        assert _status(open_websocket, address(server, "/halves/")) == 503
        wait_for(lambda: server.log.count("can't do without Redis") == 2)
        assert server.log.count("Traceback") == tracebacks


def test_the_handshake_is_not_for_views_to_answer(server: Server, open_websocket: Any) -> None:
    for what in ("switching", "header"):
        assert _status(open_websocket, address(server, f"/handshake/{what}/")) == 500
    assert "The handshake has its own header 'sec-WebSocket-Accept'." in server.log


def test_a_view_goes_on_when_its_client_leaves_while_it_subscribes(
    kind: str, tmp_path: Path, own_redis: RedisServer, users: Any, redis_client: Any
) -> None:
    settings = {**SETTINGS, "WS4REDIS_HISTORY": {"kept": {"length": 10}}}
    with serving(kind, tmp_path, own_redis.url, **settings) as server:
        noted(server)
        own_redis.process.send_signal(signal.SIGSTOP)
        with server.connect() as client:
            client.sendall(RawClient.request(server.host, "/following/", HANDSHAKE))
            assert b" 101 " in client.recv(65536)
        wait_for(lambda: "Closed for" in server.log)
        own_redis.process.send_signal(signal.SIGCONT)
        seen: list[str] = []

        def has_left() -> bool:
            seen.extend(noted(server))
            return "left" in seen

        wait_for(has_left)
        assert "subscribed" in seen
        assert "Traceback" not in server.log
        with own_redis.client() as client:
            wait_for(lambda: b"broadcast:kept" not in client.pubsub_channels())


def test_a_loop_ends_that_is_answered_or_not_received_in(
    server: Server, open_websocket: Any
) -> None:
    for path, expected in (("/guarded/", 1008), ("/idle/", 1011)):
        websocket = open_websocket(address(server, path))
        websocket.send("x")
        assert code(websocket) == expected
    assert "has to receive what it is called for" in server.log


def test_what_a_view_does_not_take_closes_with_1007_and_no_traceback(
    server: Server, open_websocket: Any
) -> None:
    for bad in ("{", "[1]", "1" * 5000, "[" * 100_000):
        websocket = open_websocket(address(server, "/form/"))
        websocket.send('{"good": 1}')
        assert json.loads(receive(websocket)) == {"good": 1}
        websocket.send(bad)
        assert code(websocket) == 1007
    wait_for(lambda: "It is no dict, but list." in server.log)
    assert "Traceback" not in server.log


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no-name", "A channel is named by a text, got ''."),
        ("no-text", "A channel is named by a text, got None."),
        ("half", "No channel has the name '\\ud800'."),
        ("infinity", "JSON compliant"),
        ("text", "A websocket view returns nothing, or an HttpResponse, not str."),
    ],
)
def test_a_mistake_in_a_view_is_named(
    server: Server, open_websocket: Any, what: str, words: str
) -> None:
    websocket = open_websocket(address(server, f"/wrong/{what}/"))
    websocket.send("go on")
    assert code(websocket) == 1011
    assert words in server.log.replace("\\\\", "\\")


def test_an_asynchronous_view_is_refused_with_the_reason_in_the_log(
    server: Server, open_websocket: Any
) -> None:
    assert _status(open_websocket, address(server, "/waiting/")) == 500
    wait_for(lambda: "An asynchronous view can't hold a websocket" in server.log)


def test_what_is_sent_after_the_own_close_is_not_lost_in_silence(
    server: Server, open_websocket: Any
) -> None:
    websocket = open_websocket(address(server, "/wrong/closed/"))
    websocket.send("go on")
    # ConnectionClosed ended the view.
    assert code(websocket) == 1000


def test_half_a_character_goes_where_json_goes(server: Server, open_websocket: Any) -> None:
    websocket = open_websocket(address(server, "/halves/"))
    websocket.send('{"text": "\\ud800"}')
    assert receive(websocket) == '{"text":"\\ud800"}'


def test_a_close_without_a_good_reason_is_a_fault_of_the_view(
    server: Server, open_websocket: Any
) -> None:
    assert code(open_websocket(address(server, "/reasonless/"))) == 1011
    assert "A reason must be str, got NoneType." in server.log


def test_a_view_that_takes_too_long_to_decide_is_refused(
    kind: str, tmp_path: Path, redis_server: RedisServer, users: Any, open_websocket: Any
) -> None:
    settings = {**SETTINGS, "WS4REDIS_HOOK_TIMEOUT": 0.5}
    with serving(kind, tmp_path, redis_server.url, **settings) as server:
        with pytest.raises(InvalidStatus) as refused:
            open_websocket(address(server, "/late/"))
        assert refused.value.response.status_code == 503
        noted(server)
        ask(server, "/release/")
        seen: list[str] = []

        def is_told() -> bool:
            seen.extend(noted(server))
            return "too late" in seen

        wait_for(is_told)
        # Nobody did anything wrong whom Django should tell of.
        assert "failed" not in seen
        assert "Internal Server Error" not in server.log


def test_clients_that_go_before_the_answer_harm_nobody(server: Server, open_websocket: Any) -> None:
    for _ in range(20):
        with server.connect() as client:
            client.sendall(RawClient.request(server.host, "/late/", HANDSHAKE))
    ask(server, "/release/")
    websocket = open_websocket(address(server, "/echo/"))
    websocket.send("x")
    assert receive(websocket) == "x"
    assert "failed" not in noted(server)
    assert "Traceback" not in server.log


@pytest.mark.parametrize("how", ["fail", "end"])
def test_the_descriptor_is_given_back(server: Server, open_websocket: Any, how: str) -> None:
    before = descriptors(server)
    websocket = open_websocket(address(server, "/watched/"))
    number = receive(websocket)
    assert descriptors(server) - before == {number}
    websocket.send(how)
    assert code(websocket) == (1011 if how == "fail" else 1000)
    wait_for(lambda: descriptors(server) == before)


def test_several_threads_receive_each_message_once(server: Server, open_websocket: Any) -> None:
    websocket = open_websocket(address(server, "/shared/"))
    for number in range(500):
        websocket.send(str(number))
    assert sorted(int(receive(websocket)) for _ in range(500)) == list(range(500))
    websocket.close()
    wait_for(lambda: "all threads ended" in noted(server))


def test_what_a_thread_sends_keeps_its_order(server: Server, open_websocket: Any) -> None:
    websocket = open_websocket(address(server, "/senders/"))
    came: dict[str, list[int]] = {}
    for _ in range(800):
        name, number = receive(websocket).split()
        came.setdefault(name, []).append(int(number))
    assert came == {str(name): list(range(200)) for name in range(4)}


def test_nothing_is_sent_after_the_end(server: Server, open_websocket: Any) -> None:
    websocket = open_websocket(address(server, "/afterwards/"))
    assert receive(websocket) == "first"
    assert code(websocket) == 4000
    seen: list[str] = []

    def is_told() -> bool:
        seen.extend(noted(server))
        return "refused" in seen and "None" in seen

    wait_for(is_told)


def test_who_is_kicked_loses_views_too(
    server: Server, open_websocket: Any, cookies: dict[str, str], redis_server: RedisServer
) -> None:
    johns = open_websocket(address(server, "/echo/"), cookie=cookies["john"])
    others = open_websocket(address(server, "/echo/"))
    with redis_server.client():
        kick(users=["john"])
    assert code(johns) == 4501
    others.send("still here")
    assert receive(others) == "still here"


def test_views_count_for_limits(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    open_websocket: Any,
    cookies: dict[str, str],
) -> None:
    limits = {"WS4REDIS_MAX_CONNECTIONS_PER_USER": 2, "WS4REDIS_MAX_CONNECTIONS_PER_ADDRESS": 3}
    with serving(kind, tmp_path, redis_server.url, **SETTINGS, **limits) as server:
        url = address(server, "/echo/")
        johns = [open_websocket(url, cookie=cookies["john"]) for _ in range(2)]
        assert _status(open_websocket, url, cookie=cookies["john"]) in (429, 503)
        another = open_websocket(url)
        # The fourth of one address.
        assert _status(open_websocket, url) in (429, 503)
        for websocket in (*johns, another):
            websocket.send("still here")
            assert receive(websocket) == "still here"


def _status(open_websocket: Any, url: str, **options: Any) -> int:
    with pytest.raises(InvalidStatus) as refused:
        open_websocket(url, **options)
    return int(refused.value.response.status_code)


def test_signals_of_requests_are_sent_once(server: Server, open_websocket: Any) -> None:
    noted(server)
    websocket = open_websocket(address(server, "/watched/"))
    receive(websocket)
    websocket.send("fail")
    assert code(websocket) == 1011
    seen: list[str] = []
    asked = [0]

    def has_ended() -> bool:
        asked[0] += 1
        seen.extend(noted(server))
        return seen.count("failed") == 1 and seen.count("finished") > asked[0]

    wait_for(has_ended)
    # Each question is a request; the end of one is told by the next.
    assert seen.count("started") == seen.count("finished") == asked[0] + 1


def database(age: int | None) -> dict[str, Any]:
    """Return settings of the test's database, with a transaction for each request."""
    name = os.environ["WS4REDIS_TEST_DB"]
    engine = "django.db.backends.sqlite3"
    default = {"ENGINE": engine, "NAME": name, "CONN_MAX_AGE": age, "ATOMIC_REQUESTS": True}
    return {"DATABASES": {"default": default}}


def connections(server: Server) -> int:
    """Count the connections of a server to the test's database, which is a file."""
    name = os.path.realpath(os.environ["WS4REDIS_TEST_DB"])
    count = 0
    for one in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(OSError):
            count += os.readlink(one) == name
    return count


@pytest.mark.parametrize("age", [0, None])
def test_a_view_holds_no_connection_to_a_database_longer_than_it_may(
    kind: str,
    age: int | None,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    open_websocket: Any,
) -> None:
    with serving(kind, tmp_path, redis_server.url, **SETTINGS, **database(age)) as server:
        before = connections(server)
        websockets = [open_websocket(address(server, "/asking/")) for _ in range(3)]
        for websocket in websockets:
            websocket.send("ask")
            # No transaction lasts as long as a websocket.
            assert receive(websocket) == "asked"
        held = 0 if age == 0 else len(websockets)
        wait_for(lambda: connections(server) - before == held)
        for websocket in websockets:
            websocket.close()
        wait_for(lambda: connections(server) == before)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.start()
    yield server
    server.stop()


def test_a_view_that_waits_for_postgresql_holds_up_nobody(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    postgres: PostgresServer,
    open_websocket: Any,
) -> None:
    settings = {**SETTINGS, "DATABASES": {"default": postgres.settings()}}
    with (
        psycopg.connect(
            host=postgres.settings()["HOST"], user="ws4redis", dbname="postgres"
        ) as own,
        serving(kind, tmp_path, redis_server.url, **settings) as server,
    ):
        own.autocommit = True
        own.execute("SELECT pg_advisory_lock(1)")
        websocket = open_websocket(address(server, "/locked/"))
        assert receive(websocket) == "asking"
        wait_for(lambda: _backends(own) == 1)
        bystander = open_websocket(address(server, "/echo/"))
        bystander.send("still here")
        assert receive(bystander) == "still here"
        own.execute("SELECT pg_advisory_unlock(1)")
        assert receive(websocket) == "locked"
        assert code(websocket) == 1000
        # The view has ended, and its connection with it.
        wait_for(lambda: _backends(own) == 0)


def _backends(own: psycopg.Connection[Any]) -> int:
    """Count the connections of others."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> %s"
    )
    row = own.execute(query, [own.info.backend_pid]).fetchone()
    assert row is not None
    return int(row[0])


def test_websockets_of_views_leave_nothing_behind(
    kind: str, tmp_path: Path, redis_server: RedisServer, users: Any, redis_client: Any
) -> None:
    with serving(kind, tmp_path, redis_server.url, **SETTINGS, **CENSUS) as server:
        count = counter(server, redis_client)
        for _ in range(2):
            _come_and_go(server, 50)
        before = settled(count)
        _come_and_go(server, 500)
        after = settled(count)
    grown = {name: (number, after[name]) for name, number in before.items() if name != "memory"}
    assert {name: pair for name, pair in grown.items() if pair[1] > pair[0]} == {}


def _come_and_go(server: Server, times: int) -> None:
    """Let clients open views of several kinds, and leave with and without a word."""
    for number in range(times):
        path = ("/echo/", "/watched/", "/shared/")[number % 3]
        with server.connect() as client:
            client.sendall(RawClient.request(server.host, path, HANDSHAKE))
            assert b" 101 " in client.recv(65536)
            if number % 2:
                client.sendall(RawClient.frame(b"fail") + RawClient.frame(b"\x03\xe8", opcode=8))
