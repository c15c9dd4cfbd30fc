from __future__ import annotations

from typing import Any

import pytest
import redis.connection
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from ws4redis import conf
from ws4redis.conf import Settings, find_problems, get_settings, redis_options
from ws4redis.history import Retention


def test_without_any_setting_the_defaults_hold() -> None:
    assert Settings.from_mapping({}) == Settings()
    assert Settings().websocket_url == "/ws/"
    assert Settings().expire == 3600


def test_overridden_settings_are_followed_and_restored() -> None:
    before = get_settings().expire
    with override_settings(WS4REDIS_EXPIRE=7, WEBSOCKET_URL="/sockets/"):
        assert (get_settings().expire, get_settings().websocket_url) == (7, "/sockets/")
    assert get_settings().expire == before


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("WEBSOCKET_URL", ["ws", "/ws", "/", None]),
        ("WS4REDIS_CONNECTION", [3, {"hots": "x"}, "ftp://x"]),
        ("WS4REDIS_EXPIRE", [-1, "60", 1.5, True, 2**31]),
        ("WS4REDIS_PREFIX", ["ws:", 3, "user", "broadcast:x", "a:session", "a:group:b"]),
        (
            "WS4REDIS_HISTORY",
            [None, ["chat"], {"": {}}, {3: {}}, {"chat": 1000}, {"x": {"len": 1}}],
        ),
        ("WS4REDIS_HISTORY", [{"x": {"length": value}} for value in (0, None, "9", 1.5, True)]),
        ("WS4REDIS_HISTORY", [{"x": {"expire": value}} for value in (-1, "", False, 0.5, [])]),
        ("WS4REDIS_HISTORY", [{"x": {"audiences": value}} for value in ("user", ["all"], [[]])]),
        ("WS4REDIS_SUBSCRIBER", ["no.such.Class", "os.getcwd", 3, None]),
        ("WS4REDIS_ALLOWED_CHANNELS", ["no.such.function", "os.sep", 3]),
        ("WS4REDIS_PROCESS_REQUEST", ["misspelt"]),
        ("WS4REDIS_HEARTBEAT", ["", 3]),
        ("WS4REDIS_HEARTBEAT_INTERVAL", [0, -1, float("nan"), float("inf"), "4"]),
        ("WS4REDIS_PING_INTERVAL", [0, "often"]),
        ("WS4REDIS_ALLOWED_ORIGINS", ["https://x", ["example.com"], ["https://x/path"]]),
        ("WS4REDIS_SUBPROTOCOLS", ["chat", [1]]),
        ("WS4REDIS_REFUSE_UNRESOLVED", [1, "yes"]),
        ("WS4REDIS_MAX_MESSAGE_SIZE", [0, 1.5]),
        ("WS4REDIS_OUTBOX_SIZE", [10]),
        ("WS4REDIS_REDIS_TIMEOUT", [0]),
        ("WS4REDIS_HOOK_THREADS", [0]),
        ("WS4REDIS_HOOK_TIMEOUT", [0, "long"]),
        ("WS4REDIS_HANDSHAKE_TIMEOUT", [0, None, "10"]),
    ],
)
def test_a_wrong_value_is_named_with_its_setting(name: str, values: list[Any]) -> None:
    for value in values:
        ((identifier, message),) = find_problems({name: value})
        assert identifier.startswith("ws4redis.E0")
        assert message.startswith(f"{name} ")
        with pytest.raises(ImproperlyConfigured, match=name):
            Settings.from_mapping({name: value})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lenght": 3}, "'news/*' has an unknown option 'lenght'; there are length, expire, aud"),
        ({"length": 0}, "the length of 'news/*' must be a whole number of at least 1 and at "),
        ({"length": 2**31}, "must be a whole number of at least 1 and at most 2147483647, got 21"),
        ({"expire": 10**20}, "the expire of 'news/*' must be a whole number of at least 1 and at"),
        ({"audiences": ["users"]}, "'news/*' has an unknown audience 'users'; there are broadcast"),
    ],
)
def test_what_is_wrong_about_a_history_is_said(options: Any, text: str) -> None:
    ((identifier, message),) = find_problems({"WS4REDIS_HISTORY": {"chat": {}, "news/*": options}})
    assert identifier == "ws4redis.E038"
    assert text in message


@pytest.mark.parametrize("pattern", ["/chat", "/*", "ch\nat", "chat\x7f", "chat\x00"])
def test_a_pattern_that_no_facility_is_like_is_named(pattern: str) -> None:
    ((identifier, message),) = find_problems({"WS4REDIS_HISTORY": {"chat": {}, pattern: {}}})
    assert identifier == "ws4redis.E038"
    assert f"no facility is like {pattern!r}" in message


def test_the_first_rule_that_fits_a_facility_counts() -> None:
    rules = {"a/*": {"length": 7, "audiences": ["user"]}, "*": {"expire": None}}
    with override_settings(WS4REDIS_HISTORY=rules, WS4REDIS_PREFIX="x"):
        retention = conf.get_histories().retention
        assert retention("x:user:john:a/b") == Retention(7, 86_400)
        assert retention("x:broadcast:a/b") is None
        assert retention("x:broadcast:b") == Retention(1000, 0)
        assert retention("x:nobody:b") is None
        assert retention("broadcast:b") is None


def test_every_setting_has_a_check_of_its_own() -> None:
    identifiers = [item.metadata["check"] for item in conf.all_fields()]
    assert len(set(identifiers)) == len(identifiers)
    assert conf.UNKNOWN_ID not in identifiers


def test_a_misspelt_setting_is_an_error() -> None:
    with override_settings(WS4REDIS_EXPIRES=60), pytest.raises(ImproperlyConfigured) as error:
        get_settings()
    assert "WS4REDIS_EXPIRES is no setting of ws4redis" in str(error.value)


@pytest.mark.parametrize(
    ("value", "kind", "options"),
    [
        ({}, redis.connection.Connection, {}),
        ({"host": "h", "port": 1, "db": 2}, redis.connection.Connection, {"host": "h", "db": 2}),
        ({"unix_socket_path": "/r"}, redis.connection.UnixDomainSocketConnection, {"path": "/r"}),
        ({"host": "h", "ssl": True}, redis.connection.SSLConnection, {"host": "h"}),
        ("redis://:pw@h:7/3", redis.connection.Connection, {"password": "pw", "db": 3}),
        ("rediss://h", redis.connection.SSLConnection, {"host": "h"}),
        ("unix:///r?db=5", redis.connection.UnixDomainSocketConnection, {"path": "/r", "db": 5}),
    ],
)
def test_every_documented_form_of_a_connection_is_understood(
    value: Any, kind: type, options: dict[str, Any]
) -> None:
    found, arguments = redis_options(value)
    assert found is kind
    assert options.items() <= arguments.items()


def test_callables_may_be_given_by_themselves_or_by_path() -> None:
    assert conf.load_callable(len) is len
    assert conf.load_callable("os.getcwd").__name__ == "getcwd"
    assert conf.load_callable(None) is None
    with pytest.raises(ImproperlyConfigured, match=r"no\.such"):
        conf.load_callable("no.such.thing")
    assert conf.imported_class("collections.Counter") is not None
    assert conf.imported_class("os.getcwd") is None
