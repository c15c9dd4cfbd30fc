"""What a client can make of the log: no line of its own, no secret, and not many lines."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_facility import BOTH
from tests.raw import HANDSHAKE, RawClient
from tests.servers import RedisServer, Server, serving
from tests.waiting import wait_for
from ws4redis.flood import LIMIT

KINDS = ("serve", "uwsgi", "runserver", "gunicorn-gevent", "gunicorn-gthread")

FORGED = "\r\nFORGED\x1b[31m\x85é\u202e"
PERCENT = "%0d%0aFORGED%1b%5b31m%c2%85%c3%a9%e2%80%ae"
# No server lets a header through with what ends its line.
IN_HEADER = "FORGED\x1b[31m\x0b\x85\xe9".encode("latin-1")
HEADERS = (
    *["Origin", "Cookie", "X-Forwarded-For", "Forwarded", "Host", "User-Agent", "Referer"],
    *["Sec-WebSocket-Protocol", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Upgrade"],
)


def hostile_requests(server: Server, facility: str) -> Iterator[bytes]:
    """Yield handshakes, each with what must not get into the log in one of its places."""
    for target in (f"/ws/{facility}{PERCENT}", f"/ws/{facility}?{PERCENT}", f"/{PERCENT}"):
        yield RawClient.request(server.host, target, HANDSHAKE)
    plain = RawClient.request(server.host, f"/ws/{facility}?subscribe-session", HANDSHAKE)
    for name in HEADERS:
        without = re.sub(rb"(?m)^%s: .*\r\n" % name.encode(), b"", plain)
        yield without[:-2] + name.encode() + b": " + IN_HEADER + b"\r\n\r\n"


def send(server: Server, request: bytes) -> None:
    """Send a request, and wait until something answers or the server hangs up."""
    with server.connect() as client, suppress(ConnectionError):
        client.sendall(request)
        client.recv(65536)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_a_client_stands_unescaped_in_the_log(
    kind: str, tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_raw: Any
) -> None:
    with serving(kind, tmp_path, redis_server.url) as server:
        for request in hostile_requests(server, facility):
            send(server, request)
        client = open_raw(server, f"/ws/{facility}?{BOTH}&echo")
        client.send_bytes(client.frame(FORGED.encode()))
        assert client.receive_message() == FORGED.encode()
        client.send_bytes(client.frame(b"\x03\xe8" + FORGED.encode(), opcode=8))
        assert client.receive_close() == 1000
        RawClient.ask(server, f"/ws/{facility}", {"Sec-WebSocket-Version": "8"})
        wait_for(lambda: "with 426" in server.log)
        assert not re.search(r"(?m)^FORGED", server.log)
        for character in ("\x1b", "\x0b", "\x85", "\u202e"):
            assert character not in server.log


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_of_an_exception_forges_no_line(
    kind: str, tmp_path: Path, redis_server: RedisServer, users: Any, facility: str
) -> None:
    hook = {"WS4REDIS_PROCESS_REQUEST": "tests.policies.quoting"}
    with serving(kind, tmp_path, redis_server.url, **hook) as server:
        answer = RawClient.ask(server, f"/ws/{facility}?room={PERCENT}", {})
        assert answer.startswith("HTTP/1.1 500 ")
        wait_for(lambda: "ValueError: no room" in server.log)
        assert not re.search(r"(?m)^FORGED", server.log)
        assert "\x1b" not in server.log


SECRET = "s3cret"


def planted(server: Server, facility: str) -> Iterator[bytes]:
    """Yield handshakes, good and bad ones, with a secret in all places that may hold one."""
    secrets = {
        "Cookie": f"sessionid={SECRET}; other={SECRET}",
        "Authorization": f"Bearer {SECRET}",
        "X-Token": SECRET,
        "X-Forwarded-For": SECRET,
        "Sec-WebSocket-Protocol": f"token.{SECRET}",
    }
    # The access log of a server shows the query, and is not ours.
    query = "subscribe-session" + (f"&token={SECRET}" if server.kind == "serve" else "")
    for change in ({}, {"Sec-WebSocket-Version": "8"}, {"Origin": "http://evil.example"}):
        headers = HANDSHAKE | secrets | change
        yield RawClient.request(server.host, f"/ws/{facility}?{query}", headers)
        yield RawClient.request(server.host, f"/elsewhere?{query}", headers)
    malformed = RawClient.request(server.host, f"/ws/{facility}?{query}", HANDSHAKE | secrets)
    yield malformed.replace(b"HTTP/1.1", b"HTTP/1")
    yield malformed.replace(b"GET", b"GET with")


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_gets_into_the_log(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    cookies: dict[str, str],
    facility: str,
    open_raw: Any,
    open_websocket: Any,
) -> None:
    with serving(kind, tmp_path, redis_server.url, WS4REDIS_OUTBOX_SIZE=1024) as server:
        for request in planted(server, facility):
            send(server, request)
        session = open_websocket(
            server.url(f"{facility}?subscribe-session&publish-session"), cookies["john"]
        )
        session.send(SECRET)
        client = open_raw(server, f"/ws/{facility}?{BOTH}&echo")
        client.send_bytes(client.frame(SECRET.encode()))
        assert client.receive_message() == SECRET.encode()
        client.send_bytes(client.frame(b"\x03\xe8" + SECRET.encode(), opcode=8))
        assert client.receive_close() == 1000
        broken = open_raw(server, f"/ws/{facility}?{BOTH}")
        broken.send_bytes(broken.frame(b"\x00\x00" + SECRET.encode(), opcode=8))
        assert broken.receive_close_frame() == 1002
        session.close()
        wait_for(lambda: "with 403" in server.log)
        assert SECRET not in server.log
        assert cookies["john"].partition("=")[2] not in server.log


@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_of_refused_handshakes_writes_few_lines_and_says_how_many_more_there_were(
    kind: str, tmp_path: Path, redis_server: RedisServer, users: Any, facility: str
) -> None:
    with serving(kind, tmp_path, redis_server.url, WS4REDIS_LOG_RATE=LIMIT) as server:
        begin = len(server.log)
        start = time.monotonic()
        refused = 300
        for _ in range(refused):
            RawClient.ask(server, f"/ws/{facility}", {"Origin": "http://evil.example"})

        def accounted() -> int:
            lines = server.log[begin:]
            left_out = re.findall(r"(\d+) more lines were left out: Refused", lines)
            return lines.count("with 403") + sum(map(int, left_out))

        wait_for(lambda: accounted() == refused)
        # In each second that has begun, and in each process.
        seconds = math.ceil(time.monotonic() - start) + 1
        assert server.log[begin:].count("with 403") <= seconds * len(server.tree()) * LIMIT


def test_one_line_tells_of_a_refusal_and_why(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str
) -> None:
    with serving("serve", tmp_path, redis_server.url) as server:
        begin = len(server.log)
        RawClient.ask(server, f"/ws/{facility}", {"Origin": "http://evil.example"})
        (line,) = server.log[begin:].splitlines()
        assert "with 403" in line
        assert "http://evil.example" in line


@pytest.mark.parametrize(("code", "logged"), [(1000, 1000), (4321, 4321), (None, 1006)])
def test_the_end_of_a_websocket_is_logged_with_its_code(
    code: int | None,
    logged: int,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_raw: Any,
) -> None:
    with serving("serve", tmp_path, redis_server.url) as server:
        client = open_raw(server, f"/ws/{facility}")
        if code is None:
            client.reset()
        else:
            client.send_bytes(client.frame(code.to_bytes(2, "big"), opcode=8))
        pattern = (
            rf"INFO ws4redis\.loop\.connection: Closed for 127\.0\.0\.1 with {logged} after \d"
        )
        wait_for(lambda: re.search(pattern, server.log))
