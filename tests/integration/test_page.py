"""From the first query of a view to the last thing that its page hands to the browser."""

from __future__ import annotations

import itertools
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.core import signing
from django.core.cache import cache
from django.db import connection, connections, transaction
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import Context, Template
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path
from django.views.decorators.cache import cache_page

from tests.servers import RedisServer
from ws4redis import page
from ws4redis.conf import get_histories
from ws4redis.history import Position
from ws4redis.publisher import RedisPublisher
from ws4redis.redis_client import get_client, run

TAG = "{% load ws4redis %}{% ws4redis_socket facility 'subscribe-broadcast' %}"
EVERYTHING = "'subscribe-broadcast' 'subscribe-user' 'subscribe-group' 'subscribe-session'"
SETTINGS = {
    "ROOT_URLCONF": __name__,
    "MIDDLEWARE": [
        "ws4redis.middleware.PositionsMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    "TEMPLATES": [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    "WS4REDIS_HISTORY": {
        "few/*": {"length": 1},
        "short/*": {"expire": 60},
        "ever/*": {"expire": None},
        "page*": {},
    },
}

pytestmark = pytest.mark.usefixtures("site")

_numbers = itertools.count()


@pytest.fixture
def site(users: Any, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(page, "_asker", page._Asker())
    with override_settings(**SETTINGS):
        yield


@pytest.fixture
def facility() -> str:
    return f"page{next(_numbers)}"


@pytest.fixture
def other_database(tmp_path: Path) -> Iterator[None]:
    settings = {**connections.settings["default"], "NAME": tmp_path / "other.sqlite3"}
    connections.settings["other"] = settings
    yield
    connections["other"].close()
    del connections["other"], connections.settings["other"]


def publish(facility: str, message: str) -> None:
    RedisPublisher(facility=facility, broadcast=True).publish_message(message)


def rendered(request: HttpRequest, facility: str, template: str = TAG) -> str:
    from django.template import engines

    return engines["django"].from_string(template).render({"facility": facility}, request)


def race(request: HttpRequest, facility: str) -> HttpResponse:
    User.objects.count()
    publish(facility, "between")
    return HttpResponse(rendered(request, facility))


@transaction.atomic
def race_in_transaction(request: HttpRequest, facility: str) -> HttpResponse:
    publisher = RedisPublisher(facility=facility, broadcast=True)
    publisher.publish_message("at the commit", on_commit=True)
    return race(request, facility)


def race_on_other_database(request: HttpRequest, facility: str) -> HttpResponse:
    with connections["other"].cursor() as cursor:
        cursor.execute("SELECT 1")
    publish(facility, "between")
    return HttpResponse(rendered(request, facility))


def race_in_stream(request: HttpRequest, facility: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(race(request, facility).content for _ in range(1))


async def race_in_coroutine(request: HttpRequest, facility: str) -> HttpResponse:
    await User.objects.acount()
    await sync_to_async(publish)(facility, "between")
    return HttpResponse(await sync_to_async(rendered)(request, facility))


def race_in_thread(request: HttpRequest, facility: str) -> HttpResponse:
    def count() -> None:
        User.objects.count()
        connection.close()

    page.mark(request)
    thread = threading.Thread(target=count)
    thread.start()
    thread.join()
    publish(facility, "between")
    return HttpResponse(rendered(request, facility))


def race_around_request(request: HttpRequest, facility: str) -> HttpResponse:
    """Query, and let another request of the same thread come and go."""
    User.objects.count()
    publish(facility, "between")
    Client().get(f"/race/{facility}-inside")
    return HttpResponse(rendered(request, facility))


def query_twice(request: HttpRequest, facility: str) -> HttpResponse:
    User.objects.count()
    User.objects.count()
    socket = f"{{% load ws4redis %}}{{% ws4redis_socket facility {EVERYTHING} %}}"
    return HttpResponse(rendered(request, facility, socket))


def query_nothing(request: HttpRequest, facility: str) -> HttpResponse:
    return HttpResponse(rendered(request, facility))


def serve_file(request: HttpRequest, facility: str) -> FileResponse:
    return FileResponse(Path(__file__).open("rb"))


def fail(request: HttpRequest, facility: str) -> HttpResponse:
    raise RuntimeError("a view that fails")


_VIEWS = [race, race_in_transaction, race_on_other_database, race_in_stream, race_in_coroutine]
_VIEWS += [race_in_thread, race_around_request, query_twice, query_nothing, serve_file, fail]
urlpatterns = [path(f"{view.__name__}/<path:facility>", view) for view in _VIEWS]
urlpatterns.append(path("cached/<path:facility>", cache_page(60)(race)))


def options(html: str) -> tuple[str, dict[str, Any]]:
    """Return the id and the content of the script element."""
    found = re.fullmatch(r'<script id="(.*)" type="application/json">(.*)</script>', html)
    assert found is not None, html
    return unescape(found[1]), json.loads(found[2])


def opened(path: str, client: Client | None = None) -> dict[str, Any]:
    """Ask for a page; return what it hands to its websocket."""
    return options((client or Client()).get(path).getvalue().decode())[1]


def missed(token: str, facility: str) -> list[bytes] | None:
    """Return what was published since a page; None if not all of it is there."""
    known = page.read(token, facility)
    assert known is not None
    name = f"broadcast:{facility}"
    answer = run(get_client(), [get_histories().read(name, known.get(name))])[0]
    return answer[4::2] if answer[1] else None


def calls(client: Any, command: str) -> int:
    """Return how often Redis was asked to do something."""
    return int(client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


@pytest.fixture
def alone(own_redis: RedisServer) -> Iterator[Any]:
    """A client of a Redis that nobody else asks for anything."""
    with override_settings(WS4REDIS_CONNECTION=own_redis.url), own_redis.client() as client:
        yield client


def connections_of(listener: socket.socket) -> int:
    """Return how often somebody connected."""
    listener.setblocking(False)
    for count in itertools.count():
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
    raise AssertionError("nobody comes here")


@pytest.mark.parametrize(
    "view", [race, race_in_stream, race_in_coroutine, race_in_thread, race_around_request]
)
def test_what_was_published_since_the_first_query_is_there(view: Any, facility: str) -> None:
    publish(facility, "before")
    token = opened(f"/{view.__name__}/{facility}")["from"]
    publish(facility, "after")
    assert missed(token, facility) == [b"between", b"after"]


def test_nothing_is_missed_of_a_channel_on_which_nothing_was_published(facility: str) -> None:
    token = opened(f"/query_twice/{facility}")["from"]
    (position,) = (page.read(token, facility) or {}).values()
    assert position.is_beginning
    publish(facility, "after")
    assert missed(token, facility) == [b"after"]


def test_a_view_in_asgi_misses_nothing(facility: str) -> None:
    async def ask() -> Any:
        return await AsyncClient().get(f"/race_in_coroutine/{facility}")

    publish(facility, "before")
    response = async_to_sync(ask)()
    publish(facility, "after")
    token = options(response.content.decode())[1]["from"]
    assert missed(token, facility) == [b"between", b"after"]


def test_a_transaction_begins_behind_the_mark(
    facility: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    publish(facility, "before")
    token = opened(f"/race_in_transaction/{facility}")["from"]
    assert missed(token, facility) == [b"between", b"at the commit"]


@pytest.mark.usefixtures("other_database")
def test_the_first_query_counts_on_whatever_database(facility: str) -> None:
    publish(facility, "before")
    token = opened(f"/race_on_other_database/{facility}")["from"]
    assert missed(token, facility) == [b"between"]


def test_only_the_first_query_counts(facility: str) -> None:
    request = RequestFactory().get("/")
    page.mark(request)
    publish(facility, "between")
    page.mark(request)
    assert missed(page.token(request, facility, ["subscribe-broadcast"]), facility) == [b"between"]


def test_without_a_mark_it_is_where_the_channel_is_now(facility: str) -> None:
    publish(facility, "before")
    token = page.token(RequestFactory().get("/"), facility, ["subscribe-broadcast"])
    publish(facility, "after")
    assert missed(token, facility) == [b"after"]


def test_who_forgot_the_middleware_is_told_once(
    facility: str, caplog: pytest.LogCaptureFixture
) -> None:
    page._warn.cache_clear()
    page.token(RequestFactory().get("/"), "no history", ["subscribe-broadcast"])
    opened(f"/race/{facility}")
    opened(f"/query_nothing/{facility}")
    assert "PositionsMiddleware" not in caplog.text
    with override_settings(MIDDLEWARE=SETTINGS["MIDDLEWARE"][1:]):
        opened(f"/query_twice/{facility}")
        opened(f"/query_twice/{facility}")
        opened(f"/race_in_thread/{facility}")
    assert caplog.text.count("name ws4redis.middleware.PositionsMiddleware in") == 1


def test_a_message_of_the_same_microsecond_came_later(facility: str, redis_client: Any) -> None:
    publish(facility, "before")
    publish(facility, "at that moment")
    name, histories = f"broadcast:{facility}", get_histories()
    ((_, entry),) = redis_client.xrevrange(f"ws4redis:stream:{name}", count=1)
    retention = histories.retention(name)
    assert retention is not None
    (answer,) = run(redis_client, [histories.locate(name, retention, int(entry[b"t"]))])
    position = Position.parse(answer.decode())
    assert run(redis_client, [histories.read(name, position)])[0][4::2] == [b"at that moment"]


def test_it_takes_two_round_trips_whatever_the_number_of_channels(
    facility: str, alone: Any, users: Any
) -> None:
    client = Client()
    client.force_login(users["john"])
    opened(f"/query_twice/{facility}", client)  # the scripts are known from now on

    def reads() -> int:
        return int(alone.info("stats")["total_reads_processed"])

    scripts, before = calls(alone, "evalsha"), reads()
    opened(f"/query_twice/{facility}", client)
    own = 1  # the command that asks
    assert reads() - before == 2 + own
    assert calls(alone, "evalsha") - scripts == 4


@pytest.mark.parametrize("view", [query_nothing, serve_file])
def test_who_queries_nothing_asks_for_no_time(view: Any, facility: str, alone: Any) -> None:
    publish(facility, "so that its script need not ask for the time, either")
    before = calls(alone, "time")
    response = Client().get(f"/{view.__name__}/{facility}")
    assert response.getvalue()
    assert calls(alone, "time") == before


def test_nothing_is_left_of_a_view_that_failed(facility: str, alone: Any) -> None:
    client = Client(raise_request_exception=False)
    assert client.get(f"/fail/{facility}").status_code == 500
    before = calls(alone, "time")
    User.objects.count()
    assert calls(alone, "time") == before


def test_without_a_history_nothing_is_asked(facility: str, alone: Any) -> None:
    before = calls(alone, "time"), calls(alone, "evalsha")
    with override_settings(WS4REDIS_HISTORY={}):
        token = opened(f"/query_twice/{facility}")["from"]
    assert page.read(token, facility) == {}
    assert (calls(alone, "time"), calls(alone, "evalsha")) == before


def test_a_channel_that_keeps_nothing_is_left_out(facility: str) -> None:
    token = opened(f"/query_twice/plain/{facility}")["from"]
    assert page.read(token, f"plain/{facility}") == {}


def test_it_is_told_when_messages_since_the_query_are_gone(facility: str) -> None:
    name = f"few/{facility}"
    request = RequestFactory().get("/")
    publish(name, "before")
    page.mark(request)
    # Redis drops a hundred at once.
    for number in range(250):
        publish(name, f"{number}")
    assert missed(page.token(request, name, ["subscribe-broadcast"]), name) is None


def test_a_page_from_the_cache_goes_on_from_where_it_was(facility: str) -> None:
    cache.clear()
    first = opened(f"/cached/{facility}")["from"]
    publish(facility, "meanwhile")
    again = opened(f"/cached/{facility}")["from"]
    assert first == again
    assert missed(again, facility) == [b"between", b"meanwhile"]


def test_the_page_gets_what_a_client_needs(facility: str) -> None:
    with override_settings(WS4REDIS_HEARTBEAT="--beat--"):
        found = opened(f"/race/{facility}")
    del found["from"]
    assert found == {
        "uri": "ws://testserver/ws/",
        "facility": facility,
        "channels": ["subscribe-broadcast"],
        "heartbeat": "--beat--",
    }


def test_nothing_of_it_ends_the_element() -> None:
    evil = "</script><b>&\u2028'\""
    html = rendered(RequestFactory().get("/"), evil)
    identifier, found = options(html)
    assert found["facility"] == evil
    assert html.count("<") == 2
    assert identifier == "ws4redis-%3C%2Fscript%3E%3Cb%3E%26%E2%80%A8'%22"


def test_channels_are_those_of_the_visitor(facility: str, users: Any) -> None:
    client = Client()
    client.force_login(users["john"])
    token = opened(f"/query_twice/{facility}", client)["from"]
    expected = {"broadcast", "user:john", "group:chatters", "session"}
    assert set(page.read(token, facility) or ()) == {f"{one}:{facility}" for one in expected}
    visitor = opened(f"/query_twice/{facility}")["from"]
    assert set(page.read(visitor, facility) or ()) == {f"broadcast:{facility}"}


def test_the_page_does_not_know_the_key_of_the_session(facility: str, users: Any) -> None:
    client = Client()
    client.force_login(users["john"])
    token = opened(f"/query_twice/{facility}", client)["from"]
    content = json.dumps(signing.loads(token, salt=page.SALT))
    assert f"session:{facility}" in content
    assert str(client.session.session_key) not in content


def test_names_are_without_the_prefix(facility: str) -> None:
    with override_settings(WS4REDIS_PREFIX="shop"):
        token = opened(f"/race/{facility}")["from"]
        known = page.read(token, facility)
        assert known is not None
        position = known[f"broadcast:{facility}"]
        (answer,) = run(
            get_client(), [get_histories().read(f"shop:broadcast:{facility}", position)]
        )
        assert answer[4::2] == [b"between"]


def test_a_mistyped_flag_is_named() -> None:
    with pytest.raises(ValueError, match=r"'subscribe-brodcast'.*subscribe-broadcast"):
        page.positions(RequestFactory().get("/"), "foo", ["subscribe-brodcast"])


def test_flags_without_channels_are_none(facility: str) -> None:
    flags = ["publish-broadcast", "echo"]
    assert page.positions(RequestFactory().get("/"), facility, flags) == {}


def test_a_template_without_a_request_says_so() -> None:
    with pytest.raises(ValueError, match="needs the request"):
        Template(TAG).render(Context({"facility": "foo"}))


@pytest.fixture
def token(facility: str) -> str:
    return page.token(RequestFactory().get("/"), facility, ["subscribe-broadcast"])


def test_a_token_is_for_one_facility(token: str, facility: str) -> None:
    assert page.read(token, facility) is not None
    assert page.read(token, "another") is None


def test_a_token_that_was_altered_is_none(token: str, facility: str) -> None:
    head, _, signature = token.rpartition(":")
    altered = ("A" if head[0] != "A" else "B") + head[1:]
    assert page.read(f"{altered}:{signature}", facility) is None


@pytest.mark.parametrize("text", ["", "x", ":::", "é:1:2", "\ud800:1:2", ".:1:2"])
def test_what_is_no_token_is_none(text: str) -> None:
    assert page.read(text, "foo") is None


def test_a_token_of_something_else_is_none(facility: str) -> None:
    other = signing.dumps({"f": facility, "p": {}}, salt="another")
    assert page.read(other, facility) is None


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a token that is some seconds old."""

    def write(seconds: float, facility: str) -> str:
        with monkeypatch.context() as patch:
            then = time.time() - seconds
            patch.setattr(signing.time, "time", lambda: then)
            return page.token(RequestFactory().get("/"), facility, ["subscribe-broadcast"])

    return write


def test_a_token_lasts_a_day(facility: str, written: Any) -> None:
    publish(facility, "before")
    assert page.read(written(86_000, facility), facility)
    assert page.read(written(87_000, facility), facility) is None


def test_pages_are_rendered_while_redis_is_away(
    facility: str,
    own_redis: RedisServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def known() -> Any:
        return page.read(opened(f"/query_twice/{facility}")["from"], facility)

    monkeypatch.setattr(page, "PAUSE", 0.0)
    with override_settings(WS4REDIS_CONNECTION=own_redis.url), caplog.at_level(logging.INFO):
        assert known()
        own_redis.stop()
        assert [known(), known(), known()] == [{}, {}, {}]
        assert caplog.text.count("Pages don't know where their channels are") == 1
        own_redis.start()
        assert known()
        assert caplog.text.count("Pages know again") == 1
        own_redis.stop()
        assert known() == {}
        assert caplog.text.count("Pages don't know where their channels are") == 2


def test_no_page_waits_for_a_redis_that_just_did_not_answer(
    facility: str, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PAUSE", 1000.0)
    request = RequestFactory().get("/")
    with override_settings(WS4REDIS_CONNECTION=own_redis.url):
        own_redis.stop()
        assert page.positions(request, facility, ["subscribe-broadcast"]) == {}
        own_redis.start()
        # It is there again, but nobody asks it.
        assert page.positions(request, facility, ["subscribe-broadcast"]) == {}
        monkeypatch.setattr(page, "PAUSE", 0.0)
        page._asker._asks_again = 0.0
        assert page.positions(request, facility, ["subscribe-broadcast"])


def test_one_page_tries_again_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PAUSE", 1000.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        with override_settings(WS4REDIS_CONNECTION=url, WS4REDIS_REDIS_TIMEOUT=0.3):
            page.mark(RequestFactory().get("/"))
            page._asker._asks_again = 0.0
            barrier = threading.Barrier(4)

            def mark() -> None:
                barrier.wait()
                page.mark(RequestFactory().get("/"))

            threads = [threading.Thread(target=mark) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert connections_of(silent) == 2


def test_a_page_whose_first_query_nobody_timed_knows_nothing(
    facility: str, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PAUSE", 0.0)
    request = RequestFactory().get("/")
    with override_settings(WS4REDIS_CONNECTION=own_redis.url):
        own_redis.stop()
        page.mark(request)
        own_redis.start()
        # Where the channel is by now says nothing of when the data were read.
        assert page.positions(request, facility, ["subscribe-broadcast"]) == {}
