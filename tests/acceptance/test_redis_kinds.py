"""Every documented way to reach Redis, from the publisher and from the loop."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from django.test import override_settings
from websockets.exceptions import InvalidStatus

from tests.acceptance.test_facility import receive
from tests.servers import end, free_port, redis_executable, serving
from tests.waiting import wait_for
from ws4redis.publisher import RedisPublisher

KINDS = ("serve", "runserver", "uwsgi", "uwsgi-http-socket")


@contextmanager
def redis_with(*arguments: str, **client: Any) -> Iterator[None]:
    """Run a Redis with arguments of a test's own, until it answers a client."""
    process = subprocess.Popen(
        [redis_executable(), "--save", "", *arguments], stdout=subprocess.DEVNULL
    )

    def answers() -> bool:
        try:
            with redis.Redis(**client) as connection:
                return bool(connection.ping())
        except redis.RedisError:
            return False

    try:
        wait_for(answers)
        yield
    finally:
        end(process)


_numbers = itertools.count()


def assert_a_message_goes_through(
    kind: str, directory: Path, open_websocket: Any, setting: Any
) -> None:
    facility = f"foo{next(_numbers)}"
    with serving(kind, directory, "redis://unused:1", WS4REDIS_CONNECTION=setting) as server:
        flags = "subscribe-broadcast&publish-broadcast&echo"
        client = open_websocket(server.url(f"{facility}?{flags}"))
        with override_settings(WS4REDIS_CONNECTION=setting):
            publisher = RedisPublisher(facility=facility, broadcast=True)
            assert publisher.publish_message("from Django") == 1
            assert receive(client) == "from Django"
            client.send("from the client")
            assert receive(client) == "from the client"
            assert publisher.fetch_message(None, facility) == b"from the client"
        assert "Traceback" not in server.log


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_password_and_a_database(
    kind: str, tmp_path: Path, users: Any, open_websocket: Any
) -> None:
    port = free_port()
    with redis_with("--port", f"{port}", "--requirepass", "pw", port=port, password="pw"):
        for setting in (
            {"host": "127.0.0.1", "port": port, "db": 3, "password": "pw"},
            f"redis://:pw@127.0.0.1:{port}/3",
        ):
            assert_a_message_goes_through(kind, tmp_path, open_websocket, setting)


@pytest.mark.parametrize("kind", KINDS)
def test_over_a_unix_socket(kind: str, tmp_path: Path, users: Any, open_websocket: Any) -> None:
    path = str(tmp_path / "r.sock")
    with redis_with("--port", "0", "--unixsocket", path, unix_socket_path=path):
        setting = {"unix_socket_path": path, "db": 5}
        assert_a_message_goes_through(kind, tmp_path, open_websocket, setting)


@pytest.mark.parametrize("kind", KINDS)
def test_over_tls(kind: str, tmp_path: Path, users: Any, open_websocket: Any) -> None:
    port, key, certificate = free_port(), tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    tls = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    tls += ["--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no"]
    setting = {"host": "localhost", "port": port, "ssl": True, "ssl_ca_certs": str(certificate)}
    with redis_with("--port", "0", "--tls-port", f"{port}", *tls, **setting):
        assert_a_message_goes_through(kind, tmp_path, open_websocket, setting)
        url = f"rediss://localhost:{port}/0?ssl_ca_certs={certificate}"
        assert_a_message_goes_through(kind, tmp_path, open_websocket, url)


def test_a_wrong_password_is_named_in_the_log_and_not_to_the_client(
    tmp_path: Path, users: Any, open_websocket: Any
) -> None:
    port = free_port()
    with redis_with("--port", f"{port}", "--requirepass", "pw", port=port, password="pw"):
        setting = f"redis://:wrong@127.0.0.1:{port}/0"
        with serving("serve", tmp_path, "", WS4REDIS_CONNECTION=setting) as server:
            with pytest.raises(InvalidStatus) as refused:
                open_websocket(server.url("foo?subscribe-broadcast"))
            assert refused.value.response.status_code == 503
            assert refused.value.response.body == b"Try again later.\n"
            wait_for(lambda: "Redis can't be used" in server.log)


def test_a_prefix_keeps_two_sites_apart(
    directory: Path, redis_server: Any, users: Any, open_websocket: Any
) -> None:
    with (
        serving("serve", directory, redis_server.url, WS4REDIS_PREFIX="one") as one,
        serving("serve", directory, redis_server.url, WS4REDIS_PREFIX="two") as two,
    ):
        first = open_websocket(one.url("prefixed?subscribe-broadcast"))
        second = open_websocket(two.url("prefixed?subscribe-broadcast"))
        for prefix in ("one", "two"):
            with override_settings(WS4REDIS_PREFIX=prefix):
                publisher = RedisPublisher(facility="prefixed", broadcast=True)
                assert publisher.publish_message(prefix) == 1
        assert (receive(first), receive(second)) == ("one", "two")


def test_one_of_the_sites_subprotocols_is_chosen(
    directory: Path, redis_server: Any, users: Any, open_websocket: Any
) -> None:
    settings = {"WS4REDIS_SUBPROTOCOLS": ["b", "a"]}
    with serving("serve", directory, redis_server.url, **settings) as server:
        both = open_websocket(server.url("foo"), subprotocols=["a", "b"])
        other = open_websocket(server.url("foo"), subprotocols=["c"])
        assert (both.subprotocol, other.subprotocol) == ("b", None)


def test_a_channel_that_redis_forbids_is_refused_and_not_silently_dead(
    tmp_path: Path, users: Any, open_websocket: Any
) -> None:
    port = free_port()
    with redis_with("--port", f"{port}", port=port), redis.Redis(port=port) as client:
        client.acl_setuser(
            "loop", enabled=True, passwords=["+pw"], keys=["*"], categories=["+@all"], reset=True
        )
        client.execute_command("ACL", "SETUSER", "loop", "resetchannels", "&broadcast:open")
        setting = f"redis://loop:pw@127.0.0.1:{port}/0"
        with serving("serve", tmp_path, "", WS4REDIS_CONNECTION=setting) as server:
            open_websocket(server.url("open?subscribe-broadcast"))
            for _ in range(2):
                with pytest.raises(InvalidStatus) as refused:
                    open_websocket(server.url("closed?subscribe-broadcast"))
                assert refused.value.response.status_code == 503
            assert "NOPERM" in server.log
            assert "Redis refuses to subscribe ['broadcast:closed']" in server.log
