"""What happens when Redis, a client or the server goes away."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from tests.acceptance.test_facility import BOTH, receive
from tests.servers import ROOT, RedisServer, end, free_port, serving
from tests.waiting import PATIENCE, wait_for

KINDS = ("serve", "runserver", "uwsgi")


@pytest.mark.parametrize("kind", KINDS)
def test_sockets_outlive_an_outage_of_redis(
    kind: str, tmp_path: Path, own_redis: RedisServer, open_websocket: Any, users: Any
) -> None:
    with serving(kind, tmp_path, own_redis.url, WS4REDIS_EXPIRE=0) as server:
        first = open_websocket(server.url(f"foo?{BOTH}"))
        second = open_websocket(server.url(f"foo?{BOTH}"))
        own_redis.stop()
        wait_for(lambda: "The link to Redis broke" in server.log)
        with pytest.raises(InvalidStatus) as refused:
            open_websocket(server.url("foo?subscribe-broadcast"))
        assert refused.value.response.status_code == 503
        assert b"redis" not in refused.value.response.body.lower()
        # What a client sends meanwhile is published when Redis is back.
        first.send("sent during the outage")
        first.send("and one more")
        own_redis.start()
        assert [receive(second), receive(second)] == ["sent during the outage", "and one more"]
        wait_for(lambda: "Redis is back" in server.log)
        with own_redis.client() as client:
            wait_for(lambda: client.publish("broadcast:foo", "live again"))
        assert receive(first) == "live again"
        assert "Traceback" not in server.log


def test_a_frozen_redis_is_noticed(
    tmp_path: Path, own_redis: RedisServer, open_websocket: Any, users: Any
) -> None:
    with serving("serve", tmp_path, own_redis.url, WS4REDIS_REDIS_TIMEOUT=0.5) as server:
        client = open_websocket(server.url("foo?subscribe-broadcast"))
        assert own_redis.process is not None
        own_redis.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(InvalidStatus) as refused:
                open_websocket(server.url("bar?subscribe-broadcast"))
            assert refused.value.response.status_code == 503
            wait_for(lambda: "Redis did not answer" in server.log, patience=30)
        finally:
            own_redis.process.send_signal(signal.SIGCONT)
        with own_redis.client() as redis_client:
            wait_for(lambda: redis_client.publish("broadcast:foo", "thawed"))
        assert receive(client) == "thawed"


@pytest.mark.parametrize("kind", KINDS)
def test_between_the_persisted_and_the_live_messages_is_neither_gap_nor_duplicate(
    kind: str, directory: Path, redis_server: RedisServer, users: Any, open_websocket: Any
) -> None:
    with serving(kind, directory, redis_server.url) as server, redis_server.client() as client:
        stop = threading.Event()

        def publish() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                pipeline = client.pipeline(transaction=True)
                pipeline.set(f"broadcast:{kind}", f"{number}", ex=60)
                pipeline.publish(f"broadcast:{kind}", f"{number}")
                pipeline.execute()

        publisher = threading.Thread(target=publish)
        publisher.start()
        try:
            wait_for(lambda: client.get(f"broadcast:{kind}"))
            for _ in range(40):
                websocket = open_websocket(server.url(f"{kind}?subscribe-broadcast"))
                received = [int(receive(websocket)) for _ in range(20)]
                assert received == list(range(received[0], received[0] + 20))
                websocket.close()
        finally:
            stop.set()
            publisher.join()


@pytest.mark.parametrize("kind", KINDS)
def test_a_peer_that_answers_no_ping_is_given_up(
    kind: str, directory: Path, redis_server: RedisServer, users: Any, open_raw: Any
) -> None:
    with serving(kind, directory, redis_server.url, WS4REDIS_PING_INTERVAL=0.3) as server:
        silent = open_raw(server, "/ws/foo?subscribe-broadcast")
        assert silent.receive_frame() == (9, b"")
        assert silent.is_ended()


def test_a_peer_that_answers_pings_stays(
    directory: Path, redis_server: RedisServer, users: Any, open_raw: Any, redis_client: Any
) -> None:
    with serving("serve", directory, redis_server.url, WS4REDIS_PING_INTERVAL=2) as server:
        silent = open_raw(server, "/ws/silent?subscribe-broadcast")
        # Who had not answered the first one would have got no other.
        for _ in range(3):
            assert silent.receive_frame() == (9, b"")
            silent.send_bytes(silent.frame(b"", opcode=10))
        redis_client.publish("broadcast:silent", "still there")
        assert silent.receive_message() == b"still there"


@pytest.mark.parametrize("kind", KINDS)
def test_heartbeats_are_sent_on_their_interval_and_those_of_clients_swallowed(
    kind: str,
    directory: Path,
    redis_server: RedisServer,
    users: Any,
    open_websocket: Any,
    redis_client: Any,
) -> None:
    settings = {"WS4REDIS_HEARTBEAT": "--beat--", "WS4REDIS_HEARTBEAT_INTERVAL": 0.3}
    with serving(kind, directory, redis_server.url, **settings) as server:
        name = f"{kind}-beats"
        client = open_websocket(server.url(f"{name}?{BOTH}&echo"))
        other = open_websocket(server.url(f"{name}?subscribe-broadcast"))
        with redis_client.pubsub(ignore_subscribe_messages=True) as published:
            published.subscribe(f"broadcast:{name}")
            wait_for(lambda: redis_client.pubsub_numsub(f"broadcast:{name}")[0][1] == 2)
            client.send("--beat--")
            client.send("real")
            assert wait_for(published.get_message)["data"] == b"real"
        for websocket in (client, other):
            received = [receive(websocket) for _ in range(3)]
            while "real" not in received[:-3]:
                received.append(receive(websocket))
            assert set(received) == {"--beat--", "real"}


def test_autoreload_works_while_websockets_are_open(
    directory: Path, redis_server: RedisServer, users: Any, open_websocket: Any, tmp_path: Path
) -> None:
    watched = tmp_path / "watched.py"
    watched.write_text("")
    port, log = free_port(), tmp_path / "log"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
        "PYTHONUNBUFFERED": "1",
        "WS4REDIS_TEST_SETTINGS": '{"WS4REDIS_PROCESS_REQUEST": "watched.process_request"}',
    }
    watched.write_text("def process_request(request):\n    pass\n")
    command = [sys.executable, "-m", "django", "runserver", f"127.0.0.1:{port}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=output, stderr=output, start_new_session=True
        )
    try:
        started = "Starting development server"
        wait_for(lambda: started in log.read_text(), patience=30)
        client = wait_for(lambda: _opened(open_websocket, port))
        versions = itertools.count()

        def edited_and_restarted() -> bool:
            # The reloader notices only what changes after it first looked.
            edited = tmp_path / "edited"
            edited.write_text(f"def process_request(request):\n    {next(versions)}\n")
            edited.replace(watched)
            return log.read_text().count(started) > 1

        wait_for(edited_and_restarted, patience=30)
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=PATIENCE)
        assert client.close_code == 1001
        wait_for(lambda: _opened(open_websocket, port))
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE)
    assert "Traceback" not in log.read_text()


def _opened(open_websocket: Any, port: int) -> Any:
    try:
        return open_websocket(f"ws://127.0.0.1:{port}/ws/foo?subscribe-broadcast")
    except (OSError, InvalidHandshake):
        # The old process may still take a connection, and end before it answers, or refuse.
        return None


def test_serve_listens_on_a_unix_socket_and_removes_it(
    tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    from websockets.sync.client import unix_connect

    path = tmp_path / "web.socket"
    command = [sys.executable, "-m", "django", "ws4redis", "serve", "--bind", f"unix:{path}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        wait_for(lambda: _listens(path))
        with unix_connect(str(path), "ws://localhost/ws/foo?subscribe-broadcast") as client:
            assert client.response.status_code == 101
    finally:
        end(process)
        assert process.stdout is not None
        output = process.stdout.read().decode()
        process.stdout.close()
    assert re.search(r"served at unix:.*web\.socket", output)
    assert not path.exists()


def _listens(path: Path) -> bool:
    """Return whether a unix socket can be connected; its file is there a moment before."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def test_serve_names_an_address_that_it_can_not_use(tmp_path: Path) -> None:
    for bind, text in (("nonsense", "'nonsense'"), ("127.0.0.1:99999", "'127.0.0.1:99999'")):
        result = subprocess.run(
            [sys.executable, "-m", "django", "ws4redis", "serve", "--bind", bind],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=False,
        )
        assert result.returncode == 1
        assert f"Can't listen at {text}" in result.stderr.decode()
