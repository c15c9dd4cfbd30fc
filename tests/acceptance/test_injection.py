"""No path and no query, as they come over the wire, lead to somebody else's channel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_facility import publish, receive
from tests.raw import RawClient
from tests.servers import RedisServer, Server, serving

KINDS = ("serve", "uwsgi", "runserver")
PUBLISH = "publish-broadcast&publish-user&publish-group&publish-session"


@pytest.fixture(scope="module", params=KINDS)
def door(
    request: pytest.FixtureRequest, directory: Path, redis_server: RedisServer, users: Any
) -> Iterator[Server]:
    with serving(request.param, directory, redis_server.url) as running:
        yield running


# What stands for {0} is a facility on which John listens, and Paul sends.
TARGETS = [
    "/ws/user:john:{0}",
    "/ws/john:{0}",
    "/ws/user%3Ajohn%3A{0}",
    "/ws/user%253Ajohn%253A{0}",
    "/ws/:user:john:{0}",
    "/ws//user:john:{0}",
    "/ws/../user:john:{0}",
    "/ws/%2e%2e/user:john:{0}",
    "/ws/x/../../ws/user:john:{0}",
    "/ws/x%0d%0aPUBLISH%20user:john:{0}%20x%0d%0a",
    "/ws/x%00user:john:{0}",
    "/ws/{0}%00",
    "/ws/{0}%20",
    "/ws/{0}/",
    "/ws/{0};user=john",
    "/ws/%7B0%7D",
    "/ws/%FF{0}",
    "/ws/%C0%AF{0}",
    "/ws/{0}?user=john&users=john&publish-user=john",
    "/ws/x?facility={0}&publish-broadcast",
    "/ws/{0}?publish-user:john",
    "/ws/{0}?publish-user%3Ajohn",
    "/ws/{0}?publish-user%00john",
    "/ws/{0}?publish-user[]=john",
    "/ws/{0}?publish-group=chatters&group=chatters",
    "/ws/{0}?subscribe-user=john&subscribe-group=chatters&subscribe-session=x",
    "/ws/{0}?{0}&user:john:{0}&%00&%FF&%&=&&;&#",
]


@pytest.mark.parametrize("target", TARGETS)
def test_paul_reaches_nothing_of_john(
    door: Server, facility: str, target: str, cookies: Any, open_websocket: Any
) -> None:
    address = door.url(f"{facility}?subscribe-user&subscribe-group&subscribe-session")
    before = open_websocket(address, cookies["john"])
    filled = target.replace("{0}", facility)
    paul_sends(door, f"{filled}{'&' if '?' in filled else '?'}{PUBLISH}", cookies)
    # Nor is it the last message of one of John's channels.
    later = open_websocket(address, cookies["john"])
    publish(facility, "to John", users=["john"])
    assert [receive(before), receive(later)] == ["to John"] * 2


def paul_sends(door: Server, target: str, cookies: Any) -> None:
    """Send something, and wait until it is through; a refusal is as good."""
    answer = RawClient.ask(door, target, {"Cookie": cookies["paul"]})
    assert answer.split()[1] in ("101", "400", "404")
    if " 101 " not in answer:
        return
    client = RawClient(door, f"{target}&echo&subscribe-user", cookie=cookies["paul"])
    client.send_bytes(client.frame(b"from Paul"))
    assert client.receive_message() == b"from Paul"
    client.close()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("user:john:{0}", "broadcast:user:john:{0}"),
        ("%75ser%3Ajohn%3A{0}", "broadcast:user:john:{0}"),
        ("a%2Fb%2F{0}", "broadcast:a/b/{0}"),
        ("{0}%25", "broadcast:{0}%"),
        ("{0}%C3%BC", "broadcast:{0}ü"),
    ],
)
def test_a_client_writes_the_key_that_is_its_facility(
    door: Server, facility: str, path: str, name: str, open_raw: Any, redis_client: Any
) -> None:
    path, name = path.replace("{0}", facility), name.replace("{0}", facility)
    client = open_raw(door, f"/ws/{path}?subscribe-broadcast&publish-broadcast&echo")
    client.send_bytes(client.frame(b"mine"))
    assert client.receive_message() == b"mine"
    assert redis_client.get(name) == b"mine"
    keys = [key.decode() for key in redis_client.keys(f"*{facility}*")]
    assert keys == [name]
