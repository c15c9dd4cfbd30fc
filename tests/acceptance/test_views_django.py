"""What people are used to in Django's views, in websocket views."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Group
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client
from websockets.sync.client import ClientConnection

from tests.acceptance.test_views import WITHOUT_PAGES, address, code, receive, refusal
from tests.raw import RawClient
from tests.servers import RedisServer, Server, serving
from tests.waiting import wait_for

KINDS = ("serve", "runserver", "gunicorn-gevent")
MIDDLEWARE = [
    "tests.django_habits.TellingMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
HABITS = {
    "WEBSOCKET_URLCONF": "tests.django_habits",
    "MIDDLEWARE": MIDDLEWARE,
    "LANGUAGES": [["en", "English"], ["de", "Deutsch"]],
    "LOGIN_URL": "page",
    "SESSION_SAVE_EVERY_REQUEST": True,
}


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, directory: Path, redis_server: RedisServer, users: Any
) -> Iterator[Server]:
    with serving(request.param, directory, redis_server.url, **HABITS) as running:
        yield running


@pytest.fixture
def view(server: Server, open_websocket: Any) -> Any:
    """Opens a websocket on a view."""

    def opened(path: str, **options: Any) -> ClientConnection:
        websocket: ClientConnection = open_websocket(address(server, path), **options)
        return websocket

    return opened


def test_a_view_without_a_decorator_has_its_websocket_too(view: Any) -> None:
    assert receive(view("/undecorated/")) == "undecorated"


DECORATED = ("exempt", "get", "never-cached", "cached", "zipped", "condition", "loop", "uncached")


@pytest.mark.parametrize("name", DECORATED)
def test_decorators_that_look_at_the_response_find_one(
    view: Any, server: Server, name: str
) -> None:
    # Twice, as one may keep the answer for later.
    for count in (1, 2):
        websocket = view(f"/{name}/")
        websocket.send("hello")
        assert receive(websocket) == "hello"
        websocket.close()
        wait_for(lambda count=count: server.log.count(f"Answered /{name}/ with") >= count)
        assert f"Answered /{name}/ with 500" not in server.log


def test_a_decorator_answers_instead_of_the_view(view: Any) -> None:
    assert refusal(view, "/post/").status_code == 405
    unchanged = refusal(view, "/condition/", headers={"If-None-Match": '"as-ever"'})
    assert unchanged.status_code == 304


def test_forms_and_the_database(view: Any, facility: str) -> None:
    websocket = view("/groups/")
    for name, errors in ((facility, {}), ("", {"name": ["This field is required."]})):
        websocket.send(json.dumps({"name": name}))
        assert json.loads(receive(websocket)) == errors
    assert Group.objects.filter(name=facility).exists()


def test_a_class_asks_for_a_login_and_answers_before_it_opens(
    view: Any, cookies: dict[str, str], server: Server
) -> None:
    refused = refusal(view, "/room/3/")
    assert refused.status_code == 403
    assert "redirect" in refused.body.decode()
    assert refusal(view, "/room/10/", cookie=cookies["john"]).status_code == 409
    websocket = view("/room/3/", cookie=cookies["john"])
    websocket.send("hello")
    assert receive(websocket) == "john in 3: hello"


def test_the_log_says_who_refuses_and_where_a_redirect_leads(view: Any, server: Server) -> None:
    assert refusal(view, "/redirect/").status_code == 403
    assert refusal(view, "/post/").status_code == 405
    wait_for(lambda: re.search(r"Refused '/redirect/' .* 403: .* /elsewhere/\.", server.log))
    wait_for(lambda: re.search(r"Refused '/post/' .* 405: ", server.log))
    assert "token" not in server.log


def test_a_middleware_that_fails(view: Any) -> None:
    refused = refusal(view, "/undecorated/?before")
    assert (refused.status_code, b"secret" in refused.body) == (500, False)
    websocket = view("/undecorated/?after")
    assert receive(websocket) == "undecorated"
    assert code(websocket) == 1011


@pytest.mark.parametrize("what", ["something", "nothing"])
def test_a_session_is_saved_when_the_view_ends(
    view: Any, server: Server, users: Any, what: str
) -> None:
    client = Client()
    client.force_login(users["john"])
    session = client.session
    path = f"/remember/{what}/"
    ended = server.log.count(f"Answered {path}")
    websocket = view(path, cookie=f"sessionid={session.session_key}")
    websocket.send("is open")
    assert receive(websocket) == "is open"
    session["page"] = "meanwhile"
    session.save()
    websocket.close()
    wait_for(lambda: server.log.count(f"Answered {path}") > ended)
    saved = SessionStore(session.session_key)
    assert saved.get("websocket") == (what if what == "something" else None)
    # What a view changes is saved with all that it knew; what it does not change stays.
    assert saved.get("page") == (None if what == "something" else "meanwhile")


def test_a_look_whether_it_has_ended_does_not_open_it(view: Any) -> None:
    websocket = view("/look-first/", subprotocols=["chat"])
    assert websocket.subprotocol == "chat"
    assert receive(websocket) == "open"


def test_a_close_code_that_may_not_be_sent_is_refused_to_the_view(view: Any) -> None:
    for number in (999, 1005, 1006, 5000):
        websocket = view(f"/close/{number}/")
        assert receive(websocket) == f"The close code {number} may not be sent."
        assert code(websocket) == 1000
    assert code(view("/close/4000/")) == 4000


def test_another_thread_closes_a_websocket_that_waits(view: Any) -> None:
    websocket = view("/close-elsewhere/")
    assert code(websocket) == 4001
    assert websocket.close_reason == "from there"


@pytest.mark.parametrize("language", ["en", "de"])
def test_addresses_by_language(view: Any, language: str) -> None:
    assert receive(view(f"/{language}/language/")) == language


@pytest.mark.parametrize("name", ["küche", "日本", "a b"])
def test_addresses_in_any_script(view: Any, name: str) -> None:
    path = f"/räume/{name}/"
    assert json.loads(receive(view(quote(path)))) == [name, path]


@pytest.mark.parametrize(("query", "page"), [("", "/"), ("?other-pages", "/elsewhere/")])
def test_names_in_a_view_are_those_of_pages(
    view: Any, server: Server, query: str, page: str
) -> None:
    names = json.loads(receive(view(f"/names/{query}")))
    assert names == [page, address(server, "/names/")]


def test_a_content_type_that_a_client_makes_up_harms_nobody(view: Any) -> None:
    strange = {"Content-Type": "text/plain; a*=foo'en'%41"}
    assert receive(view("/undecorated/", headers=strange)) == "undecorated"


REDIRECTED = "Websockets follow no redirect"


@pytest.mark.parametrize(("path", "of_pages"), [("/names", "404"), ("/room", "301")])
def test_an_address_without_its_slash_is_that_of_no_view(
    server: Server, path: str, of_pages: str
) -> None:
    answer = RawClient.ask(server, path, {})
    is_view = server.kind in WITHOUT_PAGES
    assert answer.split()[1] == ("403" if is_view else of_pages)
    assert (REDIRECTED in answer) == is_view


@pytest.mark.parametrize("kind", KINDS)
def test_a_redirect_to_https_is_a_refusal(
    kind: str, tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    secure = ["django.middleware.security.SecurityMiddleware", *MIDDLEWARE]
    settings = {**HABITS, "MIDDLEWARE": secure, "SECURE_SSL_REDIRECT": True}
    with serving(kind, tmp_path, redis_server.url, **settings) as server:
        answer = RawClient.ask(server, "/undecorated/", {})
    assert answer.split()[1] == "403"
    assert REDIRECTED in answer


def test_nothing_of_the_server_is_kept_for_as_long_as_a_view_lasts(view: Any) -> None:
    known = json.loads(receive(view("/known/")))
    assert known["HTTP_HOST"] == known["REMOTE_ADDR"] == "str"
    assert {name for name, kind in known.items() if kind != "str"} == {"wsgi.input"}


CONSOLE = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"]},
}
LOGS: dict[str, dict[str, Any]] = {
    "no logging": {},
    "console": {"LOGGING": CONSOLE},
    "propagate": {"DEBUG_PROPAGATE_EXCEPTIONS": True},
    "propagate to the console": {"DEBUG_PROPAGATE_EXCEPTIONS": True, "LOGGING": CONSOLE},
}


@pytest.mark.parametrize("kind", ["serve", "runserver"])
@pytest.mark.parametrize("log", LOGS)
def test_what_fails_is_logged_once_with_its_traceback(
    kind: str,
    log: str,
    tmp_path: Path,
    redis_server: RedisServer,
    users: Any,
    open_websocket: Any,
) -> None:
    settings = {**HABITS, "WEBSOCKET_URLCONF": "tests.websocket_urls", **LOGS[log]}
    with serving(kind, tmp_path, redis_server.url, **settings) as server:

        def view(path: str) -> ClientConnection:
            websocket: ClientConnection = open_websocket(address(server, path))
            return websocket

        assert refusal(view, "/fail/before-error/").status_code == 500
        assert refusal(view, "/nothing/?before").status_code == 500
        websocket = view("/fail/after-error/")
        websocket.send("go on")
        assert code(websocket) == 1011
    told = re.findall(r"^ *(\w+Error): secret", server.log, re.MULTILINE)
    assert told == ["ValueError", "RuntimeError", "ValueError"]


def test_what_fails_is_mailed_as_that_of_a_page(
    tmp_path: Path, redis_server: RedisServer, users: Any, open_websocket: Any
) -> None:
    mails = tmp_path / "mails"
    settings = {
        "WEBSOCKET_URLCONF": "tests.websocket_urls",
        "ADMINS": [["john", "john@example.com"]],
        "EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend",
        "EMAIL_FILE_PATH": str(mails),
    }
    with serving("serve", tmp_path, redis_server.url, **settings) as server:
        websocket = open_websocket(address(server, "/fail/after-error/"))
        websocket.send("go on")
        assert code(websocket) == 1011
        wait_for(lambda: mails.exists() and len(list(mails.iterdir())) == 1)
        (mail,) = mails.iterdir()
        wait_for(lambda: "Exception Value: secret" in mail.read_text())
        assert "Request URL: http" in mail.read_text()


def test_a_client_of_a_view_gets_no_heartbeats(
    tmp_path: Path, redis_server: RedisServer, open_websocket: Any, facility: str
) -> None:
    beats = {"WS4REDIS_HEARTBEAT": "--heartbeat--", "WS4REDIS_HEARTBEAT_INTERVAL": 0.1}
    with serving("serve", tmp_path, redis_server.url, **HABITS, **beats) as server:
        websocket = open_websocket(address(server, "/ws/view/"))
        other = open_websocket(server.url(facility))
        assert [receive(other) for _ in range(5)] == ["--heartbeat--"] * 5
        websocket.send("hello")
        assert receive(websocket) == "hello"


def test_a_view_below_the_address_of_facilities(view: Any) -> None:
    websocket = view("/ws/view/")
    websocket.send("hello")
    assert receive(websocket) == "hello"
    facility = view("/ws/view/more?subscribe-broadcast&publish-broadcast&echo")
    facility.send("facility")
    assert receive(facility) == "facility"
