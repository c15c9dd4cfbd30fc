from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.urls import URLResolver, clear_url_caches, reverse
from django.urls.resolvers import RegexPattern

from tests.settings import INSTALLED_APPS
from ws4redis.checks import check_project, check_settings
from ws4redis.exceptions import ConnectionClosed
from ws4redis.testing import WebSocketClient, override_bus
from ws4redis.views import websocket as view_websocket
from ws4redis.views.handlers import ChannelReader, urlpatterns, websocket, websocket_pubsub
from ws4redis.views.handlers.driving import Done, drive
from ws4redis.views.handlers.routes import clean

APP = "tests.handling"
NAME = f"{APP}.websockets"


@pytest.mark.parametrize(
    ("route", "path"),
    [
        ("/hello", "/hello/"),
        ("hello", "/hello/"),
        ("hello/world", "/hello/world/"),
        ("/hello/world/", "/hello/world/"),
        ("/", "/"),
        ("", "/"),
    ],
)
def test_a_route_begins_and_ends_with_a_slash(route: str, path: str) -> None:
    assert clean(route, "", append_slash=True) == path


@pytest.mark.parametrize("prefix", ["live", "/live", "live/", "/live/"])
def test_a_route_lies_below_a_prefix(prefix: str) -> None:
    assert clean("/hello", prefix, append_slash=True) == "/live/hello/"
    assert clean("/", prefix, append_slash=True) == "/live/"


def test_a_route_stays_as_it_is_without_slashes_to_append() -> None:
    assert clean("/hello", "", append_slash=False) == "/hello"
    assert clean("/hello/", "live", append_slash=False) == "/live/hello/"


def resolver() -> URLResolver:
    return URLResolver(RegexPattern(r"^/"), urlpatterns())


@pytest.fixture
def _installed() -> Iterator[None]:
    with override_settings(INSTALLED_APPS=[*INSTALLED_APPS, APP]):
        yield


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Stands for the app's handlers."""
    made = ModuleType(NAME)
    made.__spec__ = ModuleSpec(NAME, None)
    monkeypatch.setitem(sys.modules, NAME, made)
    return made


@pytest.mark.usefixtures("_installed")
def test_the_settings_say_where_handlers_are() -> None:
    assert resolver().resolve("/echo/").view_name == "handling:echo"
    with override_settings(WS4REDIS_HANDLER_PREFIX="live", APPEND_SLASH=False):
        assert resolver().resolve("/live/echo").url_name == "echo"
    with override_settings(WS4REDIS_HANDLER_APPEND_SLASH=False):
        assert resolver().resolve("/echo").url_name == "echo"


@pytest.mark.usefixtures("_installed")
def test_handlers_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ws4redis.views.handlers.urls", raising=False)
    with override_settings(ROOT_URLCONF="ws4redis.views.handlers.urls"):
        assert reverse("handling:room", args=[5]) == "/rooms/5/"


def test_apps_without_handlers_are_passed_over(module: ModuleType) -> None:
    assert urlpatterns() == []
    with override_settings(INSTALLED_APPS=[*INSTALLED_APPS, APP]):
        assert urlpatterns() == []


@pytest.mark.usefixtures("_installed")
def test_both_names_of_the_list_count(module: Any) -> None:
    module.one = websocket("/one")(print)
    module.two = websocket("/two")(print)
    module.handlerconf, module.handlersconf = ["one"], ("two",)
    assert resolver().resolve("/one/").url_name == "one"
    assert resolver().resolve("/two/").url_name == "two"


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("listed", [["missing"], ["none"], "none", [print], None])
def test_a_list_of_what_is_no_handler_is_loud(
    module: Any, listed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module.none, module.handlerconf = print, listed
    with pytest.raises(ImproperlyConfigured, match=NAME):
        urlpatterns()
    message = checked(monkeypatch)
    assert message.msg.startswith(NAME)
    # It is not the URLconf that is wrong.
    assert message.hint is None


def checked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what 'manage.py check' says of the handlers."""
    monkeypatch.delitem(sys.modules, "ws4redis.views.handlers.urls", raising=False)
    clear_url_caches()
    with override_settings(WEBSOCKET_URLCONF="ws4redis.views.handlers.urls"):
        (message,) = check_project()
    assert message.id == "ws4redis.E051"
    return message


def handler(ws: Any, params: Any) -> None:
    """Stands for one of the module."""


@pytest.mark.usefixtures("_installed")
def test_handlers_that_no_list_names_are_loud(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module.hello = websocket("/hello")(handler)
    # Another module may lend it.
    assert urlpatterns() == []
    module.hello.__module__ = NAME
    module.handlerkonf = ["hello"]
    with pytest.raises(ImproperlyConfigured, match=r"no list .* handlerconf = \['hello'\]"):
        urlpatterns()
    assert NAME in checked(monkeypatch).msg
    module.handlerconf = []
    assert urlpatterns() == []


@pytest.mark.parametrize("prefix", ["a?b", "a#c", "a b", None])
def test_a_prefix_that_is_no_path_is_named(prefix: Any) -> None:
    with override_settings(WS4REDIS_HANDLER_PREFIX=prefix):
        (message,) = check_settings()
    assert message.id == "ws4redis.E045"
    assert repr(prefix) in message.msg


def test_the_decorators_of_one_name_tell_which_is_the_other() -> None:
    for decorator in (websocket, websocket_pubsub):
        with pytest.raises(TypeError, match=r"needs a route.* from ws4redis\.views\."):
            decorator(handler)
    with pytest.raises(TypeError, match=r"URLconf.* from ws4redis\.views\.handlers"):
        view_websocket("/x")


def test_a_callback_is_a_function() -> None:
    reader = ChannelReader("x", None)
    with pytest.raises(TypeError, match="'x' must be a function, got 'cb'"):
        reader.callback("cb")


def test_a_module_that_can_not_be_imported_is_loud(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = tmp_path / "app_with_broken_handlers"
    app.mkdir()
    (app / "__init__.py").write_text("")
    (app / "websockets.py").write_text("import a_package_that_is_missing")
    monkeypatch.syspath_prepend(tmp_path)
    with override_settings(
        INSTALLED_APPS=[*INSTALLED_APPS, app.name], WEBSOCKET_URLCONF="ws4redis.views.handlers.urls"
    ):
        with pytest.raises(ImportError, match="a_package_that_is_missing"):
            urlpatterns()
        monkeypatch.delitem(sys.modules, "ws4redis.views.handlers.urls", raising=False)
        clear_url_caches()
        with pytest.raises(ImportError, match="a_package_that_is_missing"):
            check_project()


@pytest.mark.usefixtures("_installed")
def test_a_client_that_leaves_before_it_is_answered_is_no_fault(
    module: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended = []

    def echo(ws: Any, params: Any) -> None:
        try:
            ws.send_str(ws.receive().data)
        except ConnectionClosed:
            ended.append(ws.close_code)
            raise

    module.echo, module.handlerconf = websocket("/echo")(echo), ["echo"]
    monkeypatch.delitem(sys.modules, "ws4redis.views.handlers.urls", raising=False)
    clear_url_caches()
    with override_settings(WEBSOCKET_URLCONF="ws4redis.views.handlers.urls"), override_bus():
        WebSocketClient().connect("/echo/").close(1001)
    assert ended == [1001]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_generator_gets_what_it_waits_for() -> None:
    seen = []

    def handler() -> Any:
        seen.append((yield from Done(1)))
        seen.append((yield from Done("two")))

    drive(handler())
    assert seen == [1, "two"]


def test_a_plain_result_is_no_generator() -> None:
    drive(None)
    drive(["not", "driven"])


def test_a_generator_that_forgets_from_is_told_so() -> None:
    told = []

    def handler() -> Any:
        try:
            yield Done(1)
        except TypeError as error:
            told.append(str(error))

    drive(handler())
    assert told == ["A handler may only 'yield from', not 'yield' a Done."]


def test_a_generator_fails_where_it_is_driven() -> None:
    def handler() -> Any:
        yield from Done(1)
        raise KeyError("x")

    with pytest.raises(KeyError):
        drive(handler())


def test_a_handler_is_not_async() -> None:
    async def handler(ws: Any, params: Any) -> None:
        pass

    with pytest.raises(TypeError, match="async"):
        websocket("/x")(handler)
