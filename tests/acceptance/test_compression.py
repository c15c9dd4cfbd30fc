"""Large messages are compressed for the clients that can read them, and only for those."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_facility import publish, receive
from tests.acceptance.test_rights import code
from tests.servers import RedisServer, serving

KINDS = ("serve", "uwsgi", "runserver")
HEADER = "Sec-WebSocket-Extensions"
LARGE = "small talk " * 500


class Meter:
    """Counts the bytes that come over the network to a client."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.seen = 0
        self._receive_data = client.protocol.receive_data
        client.protocol.receive_data = self._count

    def size(self, message: str) -> int:
        """Receive a message; return the bytes that came until it was there."""
        assert receive(self.client) == message
        return self.seen

    def _count(self, data: bytes) -> None:
        self.seen += len(data)
        self._receive_data(data)


@pytest.mark.parametrize("kind", KINDS)
def test_who_offers_it_gets_large_messages_compressed(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    facility: str,
    open_websocket: Any,
) -> None:
    with serving(kind, tmp_path, redis_server.url) as server:
        url = server.url(f"{facility}?subscribe-broadcast&publish-broadcast&echo")
        packed = Meter(open_websocket(url))
        plain = Meter(open_websocket(url, compression=None))
        assert "server_no_context_takeover" in packed.client.response.headers[HEADER]
        assert HEADER not in plain.client.response.headers
        # The client compresses it as well.
        packed.client.send(LARGE)
        assert packed.size(LARGE) < len(LARGE) / 20
        assert plain.size(LARGE) >= len(LARGE)


def test_a_bomb_ends_with_1009_and_others_go_on(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    with serving("serve", tmp_path, redis_server.url, WS4REDIS_MAX_MESSAGE_SIZE=10_000) as server:
        url = server.url(f"{facility}?subscribe-broadcast&publish-broadcast")
        bomber, other = open_websocket(url), open_websocket(url)
        bomber.send("a" * 10_001)
        assert code(bomber) == 1009
        publish(facility, "still there")
        assert receive(other) == "still there"


def test_it_can_be_switched_off(
    tmp_path: Path, redis_server: RedisServer, users: Any, facility: str, open_websocket: Any
) -> None:
    off = {"WS4REDIS_COMPRESSION_THRESHOLD": None}
    with serving("serve", tmp_path, redis_server.url, **off) as server:
        meter = Meter(open_websocket(server.url(f"{facility}?subscribe-broadcast")))
        assert HEADER not in meter.client.response.headers
        publish(facility, LARGE)
        assert meter.size(LARGE) >= len(LARGE)
