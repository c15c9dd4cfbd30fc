from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.test import override_settings
from django.urls import clear_url_caches, path

from ws4redis.checks import check_deployment, check_project, check_settings
from ws4redis.conf import get_settings
from ws4redis.views.samples import echo


def found(messages: Any) -> dict[str, Any]:
    return {message.id: message for message in messages if message.id.startswith("ws4redis.")}


def test_a_good_project_has_nothing_to_complain_about() -> None:
    assert found(run_checks()) == {}


def test_a_misspelt_setting_is_named_with_what_was_meant() -> None:
    with override_settings(WS4REDIS_EXPIRY=60):
        (message,) = check_settings()
    assert message.id == "ws4redis.E001"
    assert message.hint == "Did you mean WS4REDIS_EXPIRE?"


def test_what_others_call_a_websocket_setting_is_theirs() -> None:
    with override_settings(WEBSOCKET_TIMEOUT=5, WEBSOCKET_ACCEPT_ALL=True):
        assert check_settings() == []
        assert get_settings().websocket_url == "/ws/"


def test_an_old_name_is_named_with_the_new_one() -> None:
    with override_settings(WS4REDIS_STORE="x.Y"):
        (message,) = check_settings()
    assert "WS4REDIS_SUBSCRIBER" in str(message.hint)


def test_a_wrong_value_has_the_id_of_its_setting() -> None:
    with override_settings(WS4REDIS_EXPIRE="soon", WS4REDIS_PREFIX="x:"):
        assert set(found(check_settings())) == {"ws4redis.E004", "ws4redis.E005"}


def test_a_wrong_order_of_the_apps_is_named() -> None:
    apps = [*settings.INSTALLED_APPS[1:], "ws4redis"]
    with override_settings(INSTALLED_APPS=apps):
        assert "ws4redis.W001" in found(check_project())
        application = "ws4redis.django_runserver.application"
        with override_settings(WSGI_APPLICATION=application):
            assert "ws4redis.W001" not in found(check_project())


def test_sessions_in_cookies_are_named() -> None:
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
        assert "ws4redis.W002" in found(check_project())


def test_a_deployment_in_which_everybody_may_do_everything_is_named() -> None:
    assert "ws4redis.W003" in found(check_deployment())
    assert "ws4redis.W003" in found(run_checks(include_deployment_checks=True))
    with override_settings(WS4REDIS_ALLOWED_CHANNELS=print):
        assert found(check_deployment()) == {}


def test_an_address_below_static_files_is_named() -> None:
    with override_settings(WEBSOCKET_URL="/static/ws/"):
        assert "ws4redis.W004" in found(check_project())


def test_a_subscriber_that_needs_threads_is_named() -> None:
    with override_settings(WS4REDIS_SUBSCRIBER="tests.subscribers.Translating"):
        assert "ws4redis.W005" in found(check_project())
    with override_settings(WS4REDIS_SUBSCRIBER="tests.subscribers.Counting"):
        assert "ws4redis.W005" not in found(check_project())


def test_a_middleware_that_does_nothing_is_named() -> None:
    with override_settings(MIDDLEWARE=["ws4redis.middleware.PositionsMiddleware"]):
        assert "ws4redis.W006" in found(check_project())
        with override_settings(WS4REDIS_HISTORY={"chat": {}}):
            assert "ws4redis.W006" not in found(check_project())


@pytest.mark.parametrize(
    ("urlconf", "words"),
    [
        ("tests.nowhere", "No module named 'tests.nowhere'"),
        ("tests.waiting", "does not appear to have any patterns in it"),
    ],
)
def test_a_urlconf_of_websockets_that_can_not_be_used_is_named(urlconf: str, words: str) -> None:
    with override_settings(WEBSOCKET_URLCONF=urlconf):
        (message,) = check_project()
    assert message.id == "ws4redis.E047"
    assert words in message.msg


def urls_of(monkeypatch: pytest.MonkeyPatch, *patterns: Any) -> str:
    module = ModuleType("own_websocket_urls")
    vars(module)["urlpatterns"] = list(patterns)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    # Else it would be that of another test.
    clear_url_caches()
    return module.__name__


def test_urls_of_websockets_are_checked_as_other_urls_are(monkeypatch: pytest.MonkeyPatch) -> None:
    urlconf = urls_of(monkeypatch, path("/chat/", echo))
    with override_settings(WEBSOCKET_URLCONF=urlconf):
        assert [message.id for message in check_project()] == ["urls.W002"]
    with override_settings(WEBSOCKET_URLCONF="tests.websocket_urls"):
        assert check_project() == []


def test_a_view_that_takes_the_addresses_of_facilities_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    urlconf = urls_of(monkeypatch, path("ws/<slug:room>", echo))
    with override_settings(WEBSOCKET_URLCONF=urlconf):
        assert "ws4redis.W007" in found(check_project())
    with override_settings(WEBSOCKET_URLCONF=urlconf, WEBSOCKET_URL="/facilities/"):
        assert found(check_project()) == {}
