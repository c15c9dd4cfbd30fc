"""Who gets which channels: sessions, users, hooks and origins, on a real database."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.backends import file
from django.core.exceptions import PermissionDenied
from django.test import Client, override_settings
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from ws4redis.access import Grant, authorize
from ws4redis.conf import get_settings
from ws4redis.endpoint import LoopClient
from ws4redis.exceptions import HandshakeError
from ws4redis.groups import SESSION_KEY
from ws4redis.subscriber import RedisSubscriber

# Each of these may look into the database.
pytestmark = pytest.mark.usefixtures("users")

EVERYTHING = "&".join(
    f"{action}-{audience}"
    for action in ("subscribe", "publish")
    for audience in ("session", "user", "group", "broadcast")
)


def ask(query: str = EVERYTHING, cookie: str = "", path: str = "/ws/foo", **headers: str) -> Grant:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "HTTP_COOKIE": cookie,
        "HTTP_HOST": "example.com",
        "SERVER_NAME": "example.com",
        "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(),
        "wsgi.url_scheme": "http",
        **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }
    return authorize(environ, get_settings(), RedisSubscriber(LoopClient(None)))


def refusal(**arguments: Any) -> HandshakeError:
    with pytest.raises(HandshakeError) as error:
        ask(**arguments)
    return error.value


def test_a_user_gets_the_channels_of_the_session_the_user_and_the_groups(cookies: Any) -> None:
    key = cookies["john"].partition("=")[2]
    grant = ask(cookie=cookies["john"])
    expected = {"broadcast:foo", "group:chatters:foo", "user:john:foo", f"session:{key}:foo"}
    assert set(grant.subscriber.subscriptions) == expected
    assert set(grant.subscriber.publications) == expected
    assert grant.refused == {}


def test_a_visitor_gets_the_broadcast_and_reasons_for_the_rest() -> None:
    grant = ask()
    assert grant.subscriber.subscriptions == ("broadcast:foo",)
    assert grant.refused["subscribe-user"] == "nobody is logged in"
    assert grant.refused["publish-group"] == "nobody is logged in"
    assert grant.refused["subscribe-session"] == "there is no saved session"


def test_flags_are_read_with_any_value_and_case_and_unknown_ones_ignored() -> None:
    grant = ask(query="Subscribe-Broadcast=0&echo&what=ever")
    assert grant.subscriber.subscriptions == ("broadcast:foo",)
    assert grant.subscriber.publications == ()
    assert grant.flags == {"subscribe-broadcast", "echo", "what"}


@pytest.mark.parametrize("path", ["/ws/a/b", "/ws/a:b", "/ws/ü", "/ws/a/"])
def test_the_facility_is_all_that_follows_the_address(path: str) -> None:
    facility = path.removeprefix("/ws/")
    wsgi_path = path.encode().decode("latin-1")
    grant = ask(query="subscribe-broadcast", path=wsgi_path)
    assert grant.subscriber.subscriptions == (f"broadcast:{facility}",)


def test_groups_are_read_fresh_and_not_as_of_the_login(users: Any, cookies: Any) -> None:
    from django.contrib.auth.models import Group

    group = Group.objects.create(name="newcomers")
    users["paul"].groups.add(group)
    try:
        assert "group:newcomers:foo" in ask(cookie=cookies["paul"]).subscriber.subscriptions
    finally:
        group.delete()
    assert ask("subscribe-group", cookies["paul"]).subscriber.subscriptions == ()


def test_groups_are_remembered_in_the_session_at_login(users: Any) -> None:
    client = Client()
    client.login(username="john", password="secret")
    assert client.session[SESSION_KEY] == ["chatters"]


def test_a_user_who_was_deactivated_or_logged_out_is_nobody(users: Any) -> None:
    client = Client()
    client.force_login(users["mary"])
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    users["mary"].is_active = False
    users["mary"].save()
    try:
        assert ask("subscribe-user", cookie).refused == {"subscribe-user": "nobody is logged in"}
    finally:
        users["mary"].is_active = True
        users["mary"].save()
    assert ask("subscribe-user", cookie).refused == {}
    client.logout()
    assert set(ask("subscribe-user&subscribe-session", cookie).refused) == {
        "subscribe-user",
        "subscribe-session",
    }


def test_a_changed_secret_key_logs_nobody_out(users: Any) -> None:
    client = Client()
    client.force_login(users["mary"])
    key = client.cookies["sessionid"].value
    changed = {"SECRET_KEY": "changed", "SECRET_KEY_FALLBACKS": [django_settings.SECRET_KEY]}
    with override_settings(**changed):
        # The browser learns no new key from a handshake, so it comes back with the same cookie.
        for _ in range(2):
            grant = ask("subscribe-user&subscribe-session", f"sessionid={key}")
            expected = {"user:mary:foo", f"session:{key}:foo"}
            assert set(grant.subscriber.subscriptions) == expected
    with override_settings(SECRET_KEY="changed"):
        refused = ask("subscribe-user", f"sessionid={key}").refused
        assert refused == {"subscribe-user": "nobody is logged in"}


def test_an_expired_session_in_a_file_is_followed_by_no_other(tmp_path: Path) -> None:
    # Django makes up another one, whose key nobody will learn.
    engine = "django.contrib.sessions.backends.file"
    file.SessionStore._storage_path = str(tmp_path)  # type: ignore[attr-defined]
    try:
        with override_settings(SESSION_ENGINE=engine):
            session = file.SessionStore()
            session["cart"] = ["book"]
            session.save()
            assert ask("subscribe-session", f"sessionid={session.session_key}").refused == {}
            session.set_expiry(timezone.now() - timedelta(seconds=1))
            session.save()
            refused = ask("subscribe-session", f"sessionid={session.session_key}").refused
            assert refused == {"subscribe-session": "there is no saved session"}
    finally:
        del file.SessionStore._storage_path  # type: ignore[attr-defined]


def test_what_can_not_be_had_is_a_403_by_a_setting() -> None:
    with override_settings(WS4REDIS_REFUSE_UNRESOLVED=True):
        assert ask(query="subscribe-broadcast").refused == {}
        error = refusal(query="subscribe-user")
    assert error.status == 403
    assert "subscribe-user: nobody is logged in" in error.message


def only_broadcast(request: Any, channels: Iterable[str]) -> set[str]:
    return set(channels).intersection(["subscribe-broadcast", "subscribe-group"])


def members_only(request: Any, channels: Iterable[str]) -> None:
    if not request.user.is_authenticated:
        raise PermissionDenied("Not allowed to subscribe nor to publish on the Websocket!")


@pytest.mark.parametrize("by", ["path", "callable"])
def test_the_two_functions_of_the_documentation_work(by: str, cookies: Any) -> None:
    functions = [only_broadcast, members_only]
    named = [f"{__name__}.{f.__name__}" if by == "path" else f for f in functions]
    with override_settings(WS4REDIS_ALLOWED_CHANNELS=named[0]):
        grant = ask(query="subscribe-broadcast&publish-broadcast")
    assert grant.subscriber.subscriptions == ("broadcast:foo",)
    assert grant.subscriber.publications == ()
    assert grant.refused == {"publish-broadcast": "not allowed"}
    with override_settings(WS4REDIS_ALLOWED_CHANNELS=named[1]):
        assert len(ask(cookie=cookies["john"]).subscriber.subscriptions) == 4
        error = refusal()
    assert (error.status, error.message) == (
        403,
        "Not allowed to subscribe nor to publish on the Websocket!",
    )


def test_the_function_sees_an_anonymous_user_and_never_none() -> None:
    seen: list[Any] = []

    def look(request: Any, channels: Any) -> None:
        seen.append((request.user.is_authenticated, request.session.session_key))

    with override_settings(WS4REDIS_ALLOWED_CHANNELS=look):
        ask()
        ask(cookie="sessionid=invented")
    assert seen == [(False, None), (False, None)]


@pytest.mark.parametrize("returned", ["subscribe-broadcast", 3, True])
def test_a_function_that_returns_no_list_lets_nobody_in(returned: Any) -> None:
    with (
        override_settings(WS4REDIS_ALLOWED_CHANNELS=lambda request, channels: returned),
        pytest.raises(TypeError, match="WS4REDIS_ALLOWED_CHANNELS"),
    ):
        ask()


def test_the_function_can_not_add_what_was_not_asked() -> None:
    everything = EVERYTHING.split("&")
    with override_settings(WS4REDIS_ALLOWED_CHANNELS=lambda request, channels: everything):
        assert ask(query="subscribe-broadcast").subscriber.publications == ()


def test_a_site_may_say_itself_who_asks(users: Any) -> None:
    def by_token(request: Any) -> None:
        request.session = None
        request.user = users["mary"] if request.GET.get("token") == "t" else None

    with override_settings(WS4REDIS_PROCESS_REQUEST=by_token):
        grant = ask(query="subscribe-user&subscribe-session&token=t")
        assert grant.subscriber.subscriptions == ("user:mary:foo",)
        assert set(ask(query="subscribe-user").refused) == {"subscribe-user"}


def test_a_user_may_be_lazy_as_djangos_middleware_sets_it(users: Any, cookies: Any) -> None:
    def by_name(request: Any) -> None:
        request.user = SimpleLazyObject(lambda: users["mary"])

    eager = ask("subscribe-user&subscribe-group", cookies["mary"])
    with override_settings(WS4REDIS_PROCESS_REQUEST=by_name):
        lazy = ask("subscribe-user&subscribe-group")
    assert lazy.subscriber.subscriptions == eager.subscriber.subscriptions
    assert lazy.identity.rights == eager.identity.rights


def test_a_site_without_sessions_has_visitors_only() -> None:
    apps = ["ws4redis", "django.contrib.contenttypes", "django.contrib.auth"]
    with override_settings(INSTALLED_APPS=apps):
        assert ask(query="subscribe-broadcast").subscriber.subscriptions == ("broadcast:foo",)
        assert set(ask("subscribe-session").refused) == {"subscribe-session"}


def test_a_query_that_django_finds_suspicious_is_a_400() -> None:
    assert refusal(query="&".join(f"field{number}" for number in range(2000))).status == 400
