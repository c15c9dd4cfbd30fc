"""From the page of a site to its open websocket, without a gap."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import override_settings

from tests.eventsource import EventSource
from tests.servers import RedisServer, Server, serving
from tests.waiting import PATIENCE, wait_for
from ws4redis.publisher import RedisPublisher

KINDS = ("runserver", "uwsgi-http-socket", "gunicorn-gevent", "nginx-tls")
HISTORY = {"page*": {"length": 10_000}}
SETTINGS = {
    "MIDDLEWARE": [
        "ws4redis.middleware.PositionsMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    "WS4REDIS_HISTORY": HISTORY,
}

Message = tuple[dict[str, Any], str]


@pytest.fixture
def page_facility(facility: str) -> Iterator[str]:
    """A facility with a history, in this process, too."""
    with override_settings(WS4REDIS_HISTORY=HISTORY):
        yield f"page/{facility}"


def publish(facility: str, message: str, **audience: Any) -> None:
    RedisPublisher(facility=facility, **(audience or {"broadcast": True})).publish_message(message)


def page(server: Server, facility: str, query: str = "", cookie: str = "") -> dict[str, Any]:
    request = urllib.request.Request(f"{server.page}/history/{facility}{query}")
    request.add_header("Cookie", cookie)
    with urllib.request.urlopen(request, timeout=PATIENCE, context=server.tls()) as response:
        found: dict[str, Any] = json.load(response)
    return found


def opened(open_websocket: Callable[..., Any], socket: dict[str, Any], cookie: str = "") -> Any:
    """Open a websocket with what a page says of it."""
    query = "&".join([*socket["channels"], f"from={quote(socket['from'])}"])
    url = f"{socket['uri']}{socket['facility']}?{query}"
    return open_websocket(url, cookie, subprotocols=["ws4redis.v1"])


def receive(websocket: Any) -> Message:
    head, _, payload = websocket.recv(PATIENCE).partition("\n")
    return json.loads(head), payload


def payloads(websocket: Any, last: str) -> list[str]:
    """Return the messages up to one that is the last."""
    found = [receive(websocket)[1]]
    while found[-1] != last:
        found.append(receive(websocket)[1])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_published_between_the_query_and_the_websocket_arrives_once(
    kind: str,
    tmp_path: Path,
    redis_server: RedisServer,
    cookies: dict[str, str],
    page_facility: str,
    open_websocket: Any,
) -> None:
    with serving(kind, tmp_path, redis_server.url, **SETTINGS) as server:
        publish(page_facility, "before")
        socket = page(server, page_facility, "?publish", cookies["john"])["socket"]
        publish(page_facility, "while the page was on its way")
        publish(page_facility, "to john", users=["john"])
        websocket = opened(open_websocket, socket, cookies["john"])
        publish(page_facility, "live")
        channels = receive(websocket)[0]["channels"]
        assert [channel["recovered"] for channel in channels.values()] == [True, True]
        found = payloads(websocket, "live")
    assert [text for text in found if text != "to john"] == [
        "between",
        "while the page was on its way",
        "live",
    ]
    assert found.count("to john") == 1


def test_page_and_messages_make_a_whole_at_any_moment(
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    page_facility: str,
    open_websocket: Any,
) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            Group.objects.create(name=f"{page_facility}-{number}")
            publish(page_facility, f"{number}")
        connection.close()

    with serving("runserver", tmp_path, redis_server.url, **SETTINGS) as server:
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(20):
                found = page(server, page_facility, "?linger")
                shown = found["count"]
                later = Group.objects.filter(name=f"{page_facility}-{shown + 10}")
                wait_for(later.exists)
                websocket = opened(open_websocket, found["socket"])
                assert receive(websocket)[0]["channels"].popitem()[1]["recovered"]
                first = int(receive(websocket)[1])
                # What was published before the query may come all the same, as the page is marked
                # a moment earlier.
                assert first <= shown + 1
                last = shown + 20
                expected = [f"{number}" for number in range(first + 1, last + 1)]
                assert payloads(websocket, f"{last}") == expected
                websocket.close()
        finally:
            stop.set()
            writer.join()
            Group.objects.filter(name__startswith=page_facility).delete()


def test_an_open_websocket_takes_the_token_of_a_page(
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    page_facility: str,
    open_websocket: Any,
) -> None:
    with serving("runserver", tmp_path, redis_server.url, **SETTINGS) as server:
        token = page(server, page_facility)["socket"]["from"]
        publish(page_facility, "meanwhile")
        websocket = open_websocket(server.url("other"), subprotocols=["ws4redis.v1"])
        assert receive(websocket)[0]["type"] == "welcome"
        command = {
            "type": "subscribe",
            "id": 1,
            "facility": page_facility,
            "channels": ["subscribe-broadcast"],
            "from": token,
        }
        websocket.send(json.dumps(command))
        assert receive(websocket)[0]["channels"][f"broadcast:{page_facility}"]["recovered"]
        assert receive(websocket)[1] == "meanwhile"


def test_a_stream_of_events_takes_it_too_and_knows_better_after_a_break(
    tmp_path: Path, redis_server: RedisServer, users: Any, page_facility: str
) -> None:
    with serving("runserver", tmp_path, redis_server.url, **SETTINGS) as server:
        token = quote(page(server, page_facility)["socket"]["from"])
        publish(page_facility, "meanwhile")
        address = f"{page_facility}?subscribe-broadcast&from={token}"
        with closing(EventSource(server, address)) as stream:
            stream.next("welcome")
            assert stream.next().payload == "meanwhile"
        publish(page_facility, "after the break")
        with closing(EventSource(server, address, stream.parser.last_event_id)) as stream:
            stream.next("welcome")
            assert stream.next().payload == "after the break"


def test_a_token_that_says_nothing_leads_to_a_gap_and_not_to_silence(
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    page_facility: str,
    open_websocket: Any,
) -> None:
    with serving("runserver", tmp_path, redis_server.url, **SETTINGS) as server:
        publish(page_facility, "before")
        socket = page(server, page_facility)["socket"]
        other = page(server, f"{page_facility}/other")["socket"]
        publish(page_facility, "meanwhile")
        for token in (socket["from"][:-1], other["from"], "nonsense", ""):
            websocket = opened(open_websocket, socket | {"from": token})
            publish(page_facility, "live")
            channels = receive(websocket)[0]["channels"]
            assert channels[f"broadcast:{page_facility}"]["recovered"] is False
            assert receive(websocket)[1] == "live"


def test_a_page_grants_nothing(
    tmp_path: Path,
    redis_server: RedisServer,
    cookies: dict[str, str],
    page_facility: str,
    open_websocket: Any,
) -> None:
    with serving("runserver", tmp_path, redis_server.url, **SETTINGS) as server:
        socket = page(server, page_facility, cookie=cookies["john"])["socket"]
        publish(page_facility, "to john", users=["john"])
        websocket = opened(open_websocket, socket)
        publish(page_facility, "live")
        welcome = receive(websocket)[0]
        assert set(welcome["channels"]) == {f"broadcast:{page_facility}"}
        assert receive(websocket)[1] == "live"
