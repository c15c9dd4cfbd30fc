from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.template import Context, Engine, RequestContext
from django.test import RequestFactory, override_settings
from django.urls import NoReverseMatch, clear_url_caches, include, path, set_script_prefix

from ws4redis.views.samples import echo
from ws4redis.views.urls import websocket_reverse

ENGINE = Engine(libraries={"websockets": "ws4redis.templatetags.websockets"})
ROOMS = ([path("<int:room>/", echo, name="room"), path("", echo, name="list")], "rooms")


@pytest.fixture(autouse=True)
def urlconf(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("own_websocket_urls")
    vars(module)["urlpatterns"] = [
        path("echo/", echo, name="echo"),
        path("pair/<slug:one>/<str:two>/", echo, name="pair"),
        path("rooms/", include(ROOMS)),
    ]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    # Else it would be that of another test.
    clear_url_caches()
    with override_settings(WEBSOCKET_URLCONF=module.__name__):
        yield


def request(**options: Any) -> HttpRequest:
    return RequestFactory().get("/page/", headers={"host": "example.com:8000"}, **options)


def rendered(tag: str, context: Any = None) -> str:
    template = ENGINE.from_string(f"{{% load websockets %}}{tag}")
    return template.render(context or RequestContext(request()))


def test_an_address_is_that_of_the_view_on_the_host_of_the_request() -> None:
    assert websocket_reverse("echo", request()) == "ws://example.com:8000/echo/"


def test_a_secure_page_gets_a_secure_address() -> None:
    assert websocket_reverse("echo", request(secure=True)) == "wss://example.com:8000/echo/"


def test_arguments_by_place_and_by_name() -> None:
    path_ = "ws://example.com:8000/pair/a-b/gr%C3%BC%C3%9Fe%20%22/"
    assert websocket_reverse("pair", request(), args=["a-b", 'grüße "']) == path_
    assert websocket_reverse("pair", request(), kwargs={"one": "a-b", "two": 'grüße "'}) == path_


def test_names_in_namespaces() -> None:
    assert websocket_reverse("rooms:list", request()) == "ws://example.com:8000/rooms/"
    room = websocket_reverse("rooms:room", request(), kwargs={"room": 5})
    assert room == "ws://example.com:8000/rooms/5/"


def test_another_server_may_hold_the_websockets() -> None:
    with override_settings(WEBSOCKET_SERVER="ws.example.com:8001"):
        assert websocket_reverse("echo", request()) == "ws://ws.example.com:8001/echo/"
        assert websocket_reverse("echo", request(secure=True)).startswith("wss://ws.example.com")
        # As in a mail, for which there is no request.
        assert websocket_reverse("echo") == "ws://ws.example.com:8001/echo/"


def test_a_site_below_a_prefix() -> None:
    set_script_prefix("/site/")
    try:
        assert websocket_reverse("echo", request()) == "ws://example.com:8000/site/echo/"
    finally:
        set_script_prefix("/")


@pytest.mark.parametrize(
    ("viewname", "kwargs"), [("nothing", {}), ("pair", {"one": "a"}), ("room", {"room": 5})]
)
def test_what_leads_nowhere_is_an_error(viewname: str, kwargs: Any) -> None:
    with pytest.raises(NoReverseMatch):
        websocket_reverse(viewname, request(), kwargs=kwargs)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ImproperlyConfigured, match="WEBSOCKET_SERVER"):
        websocket_reverse("echo")
    with (
        override_settings(WEBSOCKET_URLCONF=None),
        pytest.raises(ImproperlyConfigured, match="WEBSOCKET_URLCONF"),
    ):
        websocket_reverse("echo", request())


def test_the_tag_takes_what_the_function_takes() -> None:
    assert rendered("{% websocket_url 'echo' %}") == "ws://example.com:8000/echo/"
    assert rendered("{% websocket_url 'pair' 'a' 'b' %}") == "ws://example.com:8000/pair/a/b/"
    assert rendered("{% websocket_url 'pair' one='a' two='b' %}").endswith("/pair/a/b/")
    assert rendered("{% websocket_url 'rooms:room' room=5 %}").endswith("/rooms/5/")


def test_a_request_among_the_variables_will_do() -> None:
    context = Context({"request": request(secure=True)})
    assert rendered("{% websocket_url 'echo' %}", context) == "wss://example.com:8000/echo/"


def test_the_tag_may_keep_the_address_in_a_variable() -> None:
    assert (
        rendered("{% websocket_url 'echo' as url %}[{{ url }}]") == "[ws://example.com:8000/echo/]"
    )


def test_the_tag_writes_nothing_that_html_could_take_for_its_own() -> None:
    text = rendered(
        "{% websocket_url 'pair' 'a' name %}", RequestContext(request(), {"name": "<'\">&"})
    )
    assert not set(text) & set("<>'\"")


def test_the_tag_names_what_is_wrong() -> None:
    with pytest.raises(NoReverseMatch):
        rendered("{% websocket_url 'nothing' %}")
    with pytest.raises(ImproperlyConfigured, match="WEBSOCKET_SERVER"):
        rendered("{% websocket_url 'echo' %}", Context())
