"""What tokens are worth: tickets in a real Redis, and signed ones."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.base import SessionBase
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMultiAlternatives
from django.db import OperationalError, connection
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.utils.log import AdminEmailHandler
from django.utils.module_loading import import_string
from django.views.debug import ExceptionReporter
from django.views.decorators.http import require_safe

from tests.handling.urls import private
from tests.servers import RedisServer
from tests.waiting import PATIENCE, wait_for
from ws4redis.checks import check_project, check_settings
from ws4redis.conf import get_settings
from ws4redis.exceptions import BusError
from ws4redis.publisher import RedisPublisher
from ws4redis.redis_store import RedisMessage
from ws4redis.testing import WebSocketClient, override_bus
from ws4redis.tokens import tickets, token_required, user_of
from ws4redis.tokens.handed import hidden
from ws4redis.tokens.jwt import authenticate
from ws4redis.views import WebSocketView, websocket

TICKETS = "ws4redis.tokens.tickets.authenticate"
JWT = "ws4redis.tokens.jwt.authenticate"


@pytest.fixture
def anna(users: Any) -> Iterator[User]:
    """A user that a test may change."""
    user = User.objects.create_user("anna", password="secret")
    yield user
    user.delete()


def test_a_ticket_is_good_once(anna: User) -> None:
    ticket = tickets.issue(anna)
    assert tickets.authenticate(ticket) == anna
    assert tickets.authenticate(ticket) is None


def test_each_ticket_is_another_and_names_nobody(anna: User) -> None:
    one, two = tickets.issue(anna), tickets.issue(anna)
    assert one != two
    assert len(one) > 40
    assert tickets.authenticate(two) == tickets.authenticate(one) == anna
    assert tickets.authenticate("x" * 43) is None


def test_a_ticket_lasts_half_a_minute(anna: User, own_redis: RedisServer) -> None:
    with override_settings(WS4REDIS_CONNECTION=own_redis.url), own_redis.client() as client:
        ticket = tickets.issue(anna)
        (key,) = client.keys()
        assert 0 < client.ttl(key) <= 30
        client.expire(key, 0)
        assert tickets.authenticate(ticket) is None


def test_tickets_lie_below_the_prefix(anna: User, own_redis: RedisServer) -> None:
    with override_settings(WS4REDIS_CONNECTION=own_redis.url), own_redis.client() as client:
        with override_settings(WS4REDIS_PREFIX="shop"):
            ticket = tickets.issue(anna)
        (key,) = client.keys()
        assert key.startswith(b"shop:ws4redis:ticket:")
        with override_settings(WS4REDIS_PREFIX="other"):
            assert tickets.authenticate(ticket) is None


def test_redis_sees_neither_tickets_nor_sessions_nor_other_tokens(
    anna: User, session: SessionBase, own_redis: RedisServer
) -> None:
    client = own_redis.client()
    with override_settings(WS4REDIS_CONNECTION=own_redis.url), client.monitor() as monitor:
        ticket = tickets.issue(anna, session)
        assert tickets.authenticate("x.y" * 15) is tickets.authenticate("ä" * 43) is None
        assert tickets.authenticate(ticket) == anna
        client.echo("the end")
        seen = list(iter(lambda: monitor.next_command()["command"], "ECHO the end"))
    worth = [ticket, session.session_key, anna.get_session_auth_hash(), "x.yx.y", "\\xc3\\xa4"]
    assert "ticket" in str(seen)
    assert not [secret for secret in worth if secret in str(seen)]
    assert len([command for command in seen if "ticket" in command]) == 3


@pytest.fixture
def old_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One that does not know ``GETDEL``, as before 6.2."""
    server = RedisServer(tmp_path)
    server.start("--rename-command", "GETDEL", "")
    wait_for(server.answers)
    yield server
    server.stop()


def test_tickets_need_no_new_redis(anna: User, old_redis: RedisServer) -> None:
    with override_settings(WS4REDIS_CONNECTION=old_redis.url):
        ticket = tickets.issue(anna)
        assert tickets.authenticate(ticket) == anna
        assert tickets.authenticate(ticket) is None


def test_of_many_who_come_at_once_one_gets_in(anna: User) -> None:
    together = threading.Barrier(4)

    def come(ticket: str) -> bool:
        together.wait(PATIENCE)
        try:
            return tickets.authenticate(ticket) is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            came = pool.map(come, [tickets.issue(anna)] * 4)
            assert sorted(came) == [False, False, False, True]


@pytest.fixture
def session(anna: User) -> SessionBase:
    """A session in which the user is logged in."""
    return logged_in(anna)


def logged_in(user: User) -> SessionBase:
    client = WebSocketClient()
    client.force_login(user)
    return client.session


def test_a_ticket_dies_with_the_session(anna: User, session: SessionBase) -> None:
    ticket, other = tickets.issue(anna, session), tickets.issue(anna, logged_in(anna))
    session.flush()
    assert tickets.authenticate(ticket) is None
    assert tickets.authenticate(other) == anna


def test_a_ticket_dies_with_its_user_if_it_has_a_session(anna: User, session: SessionBase) -> None:
    for change in ({"is_active": False}, {"is_active": True, "password": "!another"}):
        ticket = tickets.issue(anna, session)
        User.objects.filter(pk=anna.pk).update(**change)
        assert tickets.authenticate(ticket) is None


def test_a_session_that_is_somebody_elses_by_then_is_worth_nothing(
    anna: User, users: Any, session: SessionBase
) -> None:
    ticket = tickets.issue(anna, session)
    session["_auth_user_id"] = str(users["mary"].pk)
    session["_auth_user_hash"] = users["mary"].get_session_auth_hash()
    session.save()
    assert tickets.authenticate(ticket) is None


def test_a_session_that_did_not_log_the_user_in_does_not_matter(
    anna: User, users: Any, session: SessionBase
) -> None:
    ticket = tickets.issue(users["mary"], session)
    session.flush()
    assert tickets.authenticate(ticket) == users["mary"]


@override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies")
def test_sessions_in_cookies_give_tickets(anna: User) -> None:
    session = logged_in(anna)
    assert session.session_key
    assert tickets.authenticate(tickets.issue(anna, session)) == anna


def test_a_ticket_dies_with_the_password(anna: User) -> None:
    ticket = tickets.issue(anna)
    anna.set_password("another")
    anna.save()
    assert tickets.authenticate(ticket) is None


def test_a_ticket_dies_with_its_user(anna: User) -> None:
    ticket = tickets.issue(anna)
    User.objects.filter(pk=anna.pk).delete()
    assert tickets.authenticate(ticket) is None


def test_nobody_gets_no_ticket(redis_server: RedisServer) -> None:
    with pytest.raises(ValueError, match="logged in"):
        tickets.issue(AnonymousUser())


def test_who_has_no_redis_is_told(
    anna: User, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(WS4REDIS_CONNECTION=own_redis.url):
        ticket = tickets.issue(anna)
        own_redis.stop()
        with pytest.raises(BusError):
            tickets.issue(anna)
        answer = token_required(page)(request(ticket))
        assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    (line,) = [one.getMessage() for one in caplog.records if one.name.startswith("ws4redis.tokens")]
    assert line.startswith(f"The token for '/' can't be looked at: Redis at {own_redis.path} could")
    assert ticket not in caplog.text


def page(request: Any) -> HttpResponse:
    return HttpResponse(request.user.username)


def request(token: str) -> Any:
    return RequestFactory().get("/", {"token": token})


Sign = Callable[..., str]


@pytest.fixture
def sign(anna: User) -> Sign:
    """Makes a token of the user; None leaves a claim out."""

    def signed(key: Any = settings.SECRET_KEY, algorithm: str = "HS256", **claims: Any) -> str:
        usual = {"user_id": str(anna.pk), "exp": time.time() + 60}
        payload = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode(payload, key, algorithm)

    return signed


def test_a_signed_token_is_good_until_it_expires(sign: Sign, anna: User) -> None:
    assert authenticate(sign()) == anna
    assert authenticate(sign(exp=time.time() - 1)) is None
    with override_settings(WS4REDIS_JWT={"leeway": 30}):
        assert authenticate(sign(exp=time.time() - 1)) == anna


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None},
        {"user_id": None},
        {"user_id": "nobody"},
        {"user_id": 10**30},
        {"user_id": True},
        {"user_id": {"gt": 0}},
        {"user_id": "-1"},
        {"token_type": "refresh"},
        {"aud": "another site"},
        {"nbf": 1 << 33},
        {"key": "another key, as long as it has to be today"},
        {"algorithm": "none", "key": None},
    ],
    ids=str,
)
def test_a_token_that_is_not_quite_right_is_wrong(sign: Sign, claims: Any) -> None:
    assert authenticate(sign(**claims)) is None


def test_no_algorithm_counts_but_those_of_the_setting(sign: Sign, anna: User) -> None:
    key = "long enough for both of them".ljust(64, "-")
    with override_settings(WS4REDIS_JWT={"key": key}):
        assert authenticate(sign(key, "HS256")) == anna
        assert authenticate(sign(key, "HS512")) is None
    with override_settings(WS4REDIS_JWT={"key": key, "algorithms": ["HS256", "HS512"]}):
        assert authenticate(sign(key, "HS512")) == anna


def test_what_is_no_token_is_wrong(users: Any) -> None:
    assert authenticate("") is None
    assert authenticate("a.b.c") is None


def test_access_tokens_of_simple_jwt_are_good(sign: Sign, anna: User) -> None:
    assert authenticate(sign(token_type="access", jti="x", iat=time.time())) == anna


def test_another_claim_may_name_the_user(sign: Sign, anna: User) -> None:
    with override_settings(WS4REDIS_JWT={"claim": "sub", "field": "username"}):
        assert authenticate(sign(sub="anna")) == anna
        assert authenticate(sign()) is None


def test_an_empty_claim_is_nobodys(sign: Sign, anna: User) -> None:
    with override_settings(WS4REDIS_JWT={"claim": "email", "field": "email"}):
        assert User.objects.filter(email="").exists()
        assert authenticate(sign(email="")) is None
        User.objects.filter(pk=anna.pk).update(email="anna@example.com")
        assert authenticate(sign(email="anna@example.com")) == anna


def test_a_claim_that_fits_several_users_is_nobodys(
    sign: Sign, anna: User, caplog: pytest.LogCaptureFixture
) -> None:
    other = User.objects.create_user("another anna", "anna@example.com")
    User.objects.filter(pk=anna.pk).update(email="anna@example.com")
    try:
        with override_settings(WS4REDIS_JWT={"claim": "email", "field": "email"}):
            assert authenticate(sign(email="anna@example.com")) is None
    finally:
        other.delete()
    (line,) = [one.getMessage() for one in caplog.records if one.name.startswith("ws4redis.tokens")]
    assert "more than one user by 'email'" in line
    assert "anna@" not in caplog.text


def test_audience_and_issuer_count_if_they_are_set(sign: Sign, anna: User) -> None:
    with override_settings(WS4REDIS_JWT={"audience": "chat", "issuer": ["a", "b"]}):
        assert authenticate(sign(aud="chat", iss="b")) == anna
        assert authenticate(sign(aud="chat", iss="c")) is None
        assert authenticate(sign(aud="shop", iss="a")) is None
        assert authenticate(sign()) is None


def test_the_public_key_of_another_is_enough(sign: Sign, anna: User) -> None:
    private = rsa.generate_private_key(65537, 2048)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with override_settings(WS4REDIS_JWT={"key": public.decode(), "algorithms": ["RS256"]}):
        assert authenticate(sign(private, "RS256")) == anna
        assert authenticate(sign()) is None


@override_settings(WS4REDIS_TOKEN_AUTH=JWT)
def test_who_is_not_active_is_nobody(sign: Sign, anna: User) -> None:
    assert user_of(request(sign())) == anna
    User.objects.filter(pk=anna.pk).update(is_active=False)
    assert user_of(request(sign())) is None


def test_the_first_method_that_knows_a_token_counts(sign: Sign, anna: User) -> None:
    both = [JWT, TICKETS]
    ticket = tickets.issue(anna)
    with override_settings(WS4REDIS_TOKEN_AUTH=both):
        assert user_of(request(sign())) == user_of(request(ticket)) == anna
        assert user_of(request("neither")) is None


def test_tickets_are_the_default(anna: User) -> None:
    assert user_of(request(tickets.issue(anna))) == anna


def test_a_site_may_have_its_own_method(anna: User) -> None:
    with override_settings(WS4REDIS_TOKEN_AUTH=lambda token: anna if token == "mine" else None):
        assert user_of(request("mine")) == anna
        assert user_of(request("yours")) is None


def test_a_token_is_asked_about_only_if_it_can_be_one() -> None:
    asked: list[str] = []
    factory = RequestFactory()
    with override_settings(WS4REDIS_TOKEN_AUTH=asked.append):
        for token in ("", "a b", "ä", "\0", "x" * 4097):
            assert user_of(request(token)) is None
        assert (
            user_of(factory.get("/", headers={"Authorization": "Basic am9objpzZWNyZXQ="})) is None
        )
        assert user_of(factory.get("/")) is None
    assert asked == []


def test_the_header_wins_and_all_tokens_are_taken_out() -> None:
    asked: list[str] = []
    offered = {"Authorization": "Bearer one", "Sec-WebSocket-Protocol": "a, ws4redis.token.two"}
    handshake = RequestFactory().get("/x", {"token": "three", "b": "c"}, headers=offered)
    handshake.META["RAW_URI"] = "/x?token=three&b=c"
    assert handshake.headers["Authorization"]
    with override_settings(WS4REDIS_TOKEN_AUTH=asked.append):
        assert user_of(handshake) is None
    assert asked == ["one"]
    assert not [
        value
        for value in [*map(str, handshake.META.values()), *handshake.headers.values()]
        if any(token in value for token in ("one", "two", "three"))
    ]
    assert handshake.get_full_path() == "/x?b=c"
    assert dict(handshake.GET.items()) == {"b": "c"}
    assert handshake.headers["Sec-WebSocket-Protocol"] == "a"


FAILURES = (OperationalError, jwt.PyJWTError, RuntimeError)


def report(method: Any, token: str) -> str:
    """Return what Django's page for errors says of a token that could not be looked at."""
    with override_settings(WS4REDIS_TOKEN_AUTH=method), pytest.raises(FAILURES) as caught:
        user_of(request(token))
    kind, error, traceback = caught._excinfo
    while traceback.tb_frame.f_code.co_filename == __file__:
        # What a test knows is no secret.
        traceback = traceback.tb_next
    return str(ExceptionReporter(None, kind, error, traceback).get_traceback_html())


def no_database(*_: Any) -> Any:
    raise OperationalError("the database is away")


def test_no_report_of_an_error_shows_a_signed_token_or_its_key(sign: Sign) -> None:
    token = sign()
    with connection.execute_wrapper(no_database):
        shown = report(JWT, token)
    assert "the database is away" in shown
    assert settings.SECRET_KEY not in shown
    assert token not in shown


def test_no_report_of_a_wrong_key_shows_it(sign: Sign) -> None:
    token = sign(rsa.generate_private_key(65537, 2048), "RS256")
    with override_settings(WS4REDIS_JWT={"key": "secret, not PEM", "algorithms": ["RS256"]}):
        shown = report(JWT, token)
    assert "InvalidKeyError" in shown
    assert "secret, not PEM" not in shown
    assert token not in shown


def test_no_report_of_an_error_shows_a_ticket_or_whose_it_is(
    anna: User, session: SessionBase
) -> None:
    for ticket in (tickets.issue(anna), tickets.issue(anna, session)):
        with connection.execute_wrapper(no_database):
            shown = report(TICKETS, ticket)
        assert "the database is away" in shown
        for secret in (ticket, anna.get_session_auth_hash(), session.session_key):
            assert str(secret) not in shown


def test_no_report_of_an_error_shows_what_a_method_of_the_site_knew(users: Any) -> None:
    token = secrets.token_hex()

    def fails(token: str) -> Any:
        half = token[:9]
        raise RuntimeError(f"a key of {len(half)} characters")

    shown = report(fails, token)
    assert "a key of 9 characters" in shown
    assert token[:9] not in shown
    with connection.execute_wrapper(no_database):
        shown = report(lambda token: User.objects.get(username=token), token)
    assert "the database is away" in shown
    assert token not in shown


@pytest.fixture
def client(anna: User) -> Iterator[WebSocketClient]:
    """A client of views and facilities that want tokens, and of a Redis in memory."""
    site = {
        "WEBSOCKET_URLCONF": "tests.handling.urls",
        "WS4REDIS_PROCESS_REQUEST": "ws4redis.tokens.process_request",
        "WS4REDIS_SUBPROTOCOLS": ["ws4redis"],
        "WS4REDIS_TOKEN_AUTH": [TICKETS, JWT],
    }
    with override_settings(**site), override_bus():
        yield WebSocketClient()


def ways(token: str) -> list[dict[str, Any]]:
    """Return how a client may hand a token in."""
    return [
        {"query": f"?token={token}"},
        {"headers": {"Authorization": f"Bearer {token}"}},
        {"subprotocols": ["ws4redis.v1", "ws4redis", f"ws4redis.token.{token}"]},
    ]


def test_a_websocket_takes_tokens_from_each_place(
    client: WebSocketClient, sign: Sign, anna: User
) -> None:
    for make in (sign, partial(tickets.issue, anna)):
        for number in range(3):
            way = ways(make())[number]
            with client.connect("/private/" + way.pop("query", ""), **way) as websocket:
                name, address, subprotocols, _ = websocket.receive_json()
                assert (name, address) == ("anna", "/private/")
                assert subprotocols == ["ws4redis", "ws4redis.v1"][: 2 * (number == 2)]
                assert websocket.subprotocol == ("ws4redis" if number == 2 else None)
    for way in ways("wrong"):
        client.assert_refused("/private/" + way.pop("query", ""), 403, **way)


@method_decorator(token_required, name="dispatch")
class Greeting(WebSocketView):
    """Has its decorator where classes have it."""

    def on_open(self) -> None:
        self.websocket.send(self.request.user.username)


@websocket
def own_parameter(request: Any, websocket: Any) -> None:
    websocket.send_json([request.GET.get("token"), request.headers.get("Authorization")])


urlpatterns = [
    path("private/", private),
    path("greeting/", Greeting.as_view()),
    path("polite/", require_safe(private)),
    path("own/", own_parameter),
]


class Failing:
    """A middleware that has a fault."""

    def __init__(self, get_response: Any) -> None:
        pass

    def __call__(self, request: Any) -> Any:
        raise RuntimeError("a middleware that fails")


@pytest.fixture
def mails(
    client: WebSocketClient, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[EmailMultiAlternatives]]:
    """What Django's mails to the admins say of errors, with all that they may show."""
    backend = "django.core.mail.backends.locmem.EmailBackend"
    handler = AdminEmailHandler(include_html=True, email_backend=backend)
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)
    sent: list[EmailMultiAlternatives] = []
    monkeypatch.setattr(mail, "outbox", sent, raising=False)
    client.raise_request_exception = False
    with override_settings(ADMINS=[("admin", "admin@example.com")]):
        yield sent
    logger.removeHandler(handler)


@pytest.mark.parametrize("view", ["private", "greeting", "polite"])
def test_no_mail_about_a_middleware_that_fails_shows_a_token(
    client: WebSocketClient, mails: list[EmailMultiAlternatives], view: str
) -> None:
    with override_settings(WEBSOCKET_URLCONF=__name__, MIDDLEWARE=[f"{__name__}.Failing"]):
        for way in ways("LEAKED"):
            client.assert_refused(f"/{view}/" + way.pop("query", ""), 500, **way)
    for sent in mails:
        shown = f"{sent.subject} {sent.body} {sent.alternatives}"
        assert "a middleware that fails" in shown
        assert "wsgi.url_scheme" in shown
        assert "LEAKED" not in shown
    assert len(mails) == 3


def test_views_of_all_kinds_find_the_token(client: WebSocketClient, sign: Sign) -> None:
    with override_settings(WEBSOCKET_URLCONF=__name__):
        for view in ("private", "greeting", "polite"):
            for way in ways(sign()):
                path = f"/{view}/" + way.pop("query", "")
                assert "anna" in client.connect(path, **way).receive()


def test_a_view_that_wants_no_token_may_have_a_parameter_of_that_name(
    client: WebSocketClient,
) -> None:
    header = {"Authorization": "Bearer two"}
    with override_settings(WEBSOCKET_URLCONF=__name__):
        websocket = client.connect("/own/?token=one", headers=header)
        assert websocket.receive_json() == ["one", "Bearer two"]


async def asynchronous(token: str) -> Any:
    """A method that nobody waits for."""


def test_a_method_that_returns_no_user_lets_nobody_in(anna: User) -> None:
    for returned in (True, HttpResponse(), "anna", asynchronous("x")):
        with (
            override_settings(WS4REDIS_TOKEN_AUTH=lambda token, value=returned: value),
            pytest.raises(TypeError, match="WS4REDIS_TOKEN_AUTH must return a user or None"),
        ):
            user_of(request("x"))
    with override_settings(WS4REDIS_TOKEN_AUTH=lambda token: AnonymousUser()):
        assert user_of(request("x")) is None


V1 = ("ws4redis.v1",)


def head(websocket: Any) -> tuple[str, Any]:
    """Return what is answered, and what it says of the channel of a user."""
    said = json.loads(websocket.receive())
    return said["type"], said.get("refused", said.get("status"))


def subscribe(websocket: Any, facility: str) -> tuple[str, Any]:
    command = {"type": "subscribe", "id": 1, "facility": facility, "channels": ["subscribe-user"]}
    websocket.send_json(command)
    return head(websocket)


def publish(facility: str, user: str) -> None:
    RedisPublisher(facility=facility, users=[user]).publish_message(RedisMessage("hello"))


def test_further_facilities_need_no_further_token(
    client: WebSocketClient, sign: Sign, anna: User, session: SessionBase
) -> None:
    for token in (sign(), tickets.issue(anna), tickets.issue(anna, session)):
        two, three = secrets.token_hex(), secrets.token_hex()
        with client.connect(f"/ws/one?token={token}", subprotocols=V1) as websocket:
            assert head(websocket) == ("welcome", {})
            assert subscribe(websocket, two) == ("subscribed", {})
            assert subscribe(websocket, three) == ("subscribed", {})
            publish(two, "anna")
            publish(three, "paul")
            publish(three, "anna")
            assert f"user:anna:{two}" in websocket.receive()
            assert f"user:anna:{three}" in websocket.receive()
            websocket.assert_nothing()


def test_who_may_not_come_any_more_gets_no_further_facility(
    client: WebSocketClient, anna: User
) -> None:
    # No signal tells of these.
    for change in ({"is_active": False}, {"is_active": True, "password": "!another"}):
        path = f"/ws/one?token={tickets.issue(anna)}"
        with client.connect(path, subprotocols=V1) as websocket:
            assert head(websocket) == ("welcome", {})
            User.objects.filter(pk=anna.pk).update(**change)
            assert subscribe(websocket, "two") == ("refused", 403)
        User.objects.filter(pk=anna.pk).update(is_active=True)
        anna.refresh_from_db()


def test_whose_session_has_ended_gets_no_further_facility(
    client: WebSocketClient, anna: User, session: SessionBase
) -> None:
    path = f"/ws/one?token={tickets.issue(anna, session)}"
    with client.connect(path, subprotocols=V1) as websocket:
        assert head(websocket) == ("welcome", {})
        session.delete()
        assert subscribe(websocket, "two") == ("refused", 403)


def test_rights_are_judged_anew_for_a_further_facility(client: WebSocketClient, anna: User) -> None:
    policy = Policy()
    with override_settings(WS4REDIS_ALLOWED_CHANNELS=policy):
        websocket = client.connect(f"/ws/one?token={tickets.issue(anna)}", subprotocols=V1)
        assert head(websocket) == ("welcome", {})
        anna.is_staff = policy.wants_staff = True
        assert subscribe(websocket, "two") == ("subscribed", {"subscribe-user": "not allowed"})
        User.objects.filter(pk=anna.pk).update(is_staff=True)
        assert subscribe(websocket, "two") == ("subscribed", {})


class Policy:
    """Lets all users in, until it wants none but those of the staff."""

    wants_staff = False

    def __call__(self, request: Any, channels: list[str]) -> list[str]:
        return channels if request.user.is_staff or not self.wants_staff else []


def test_what_a_method_noted_on_the_user_is_there_for_further_facilities(
    client: WebSocketClient, anna: User
) -> None:
    def method(token: str) -> Any:
        user: Any = User.objects.get(pk=anna.pk)
        user.scope = token
        return user

    def policy(request: Any, channels: list[str]) -> list[str]:
        return channels if request.user.scope == "all" else []

    with override_settings(WS4REDIS_TOKEN_AUTH=method, WS4REDIS_ALLOWED_CHANNELS=policy):
        for scope, refused in (("all", {}), ("little", {"subscribe-user": "not allowed"})):
            websocket = client.connect(f"/ws/one?token={scope}", subprotocols=V1)
            assert head(websocket) == ("welcome", {})
            assert subscribe(websocket, "two") == ("subscribed", refused)


def test_users_that_are_in_no_database_get_further_facilities_too(client: WebSocketClient) -> None:
    somebody = SimpleNamespace(is_authenticated=True, get_username=lambda: "somebody")
    once = iter([somebody])
    with override_settings(WS4REDIS_TOKEN_AUTH=lambda token: next(once, None)):
        websocket = client.connect("/ws/one?token=x", subprotocols=V1)
        assert head(websocket) == ("welcome", {})
        assert subscribe(websocket, "two") == ("subscribed", {})
        somebody.is_active = False
        assert subscribe(websocket, "three") == ("refused", 403)


def test_a_line_of_a_log_hides_tokens() -> None:
    line = "GET /a?b=c&token=secret&d=e HTTP/1.1"
    assert hidden(line) == "GET /a?b=c&token=***&d=e HTTP/1.1"
    assert hidden("GET /a?token=secret HTTP/1.1") == "GET /a?token=*** HTTP/1.1"
    assert hidden("GET /a?mytoken=fine HTTP/1.1") == "GET /a?mytoken=fine HTTP/1.1"


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("WS4REDIS_TOKEN_AUTH", "ws4redis.tokens.missing", "ws4redis.E043"),
        ("WS4REDIS_TOKEN_AUTH", None, "ws4redis.E043"),
        ("WS4REDIS_TOKEN_AUTH", [], "ws4redis.E043"),
        ("WS4REDIS_TOKEN_AUTH", [JWT, 5], "ws4redis.E043"),
        ("WS4REDIS_TOKEN_AUTH", "ws4redis.tokens.tickets.issue", "ws4redis.E043"),
        ("WS4REDIS_TOKEN_AUTH", "ws4redis.tokens.user_of", "ws4redis.E043"),
        ("WS4REDIS_TOKEN_AUTH", private, "ws4redis.E043"),
        ("WS4REDIS_TOKEN_AUTH", lambda: None, "ws4redis.E043"),
        ("WS4REDIS_TOKEN_AUTH", [JWT, lambda token, user: None], "ws4redis.E043"),
        ("WS4REDIS_TOKEN_AUTH", asynchronous, "ws4redis.E043"),
        ("WS4REDIS_JWT", "key", "ws4redis.E044"),
        ("WS4REDIS_JWT", {"algorithms": ["RS256"]}, "ws4redis.E044"),
        ("WS4REDIS_JWT", {"leeway": -1}, "ws4redis.E044"),
        ("WS4REDIS_JWT", {"leeway": float("nan")}, "ws4redis.E044"),
        ("WS4REDIS_JWT", {"algorithm": "HS256"}, "ws4redis.E044"),
        ("WS4REDIS_JWT", {"algorithms": "HS256"}, "ws4redis.E044"),
        ("WS4REDIS_JWT", {"algorithms": []}, "ws4redis.E044"),
        ("WS4REDIS_JWT", {"algorithms": ["none"]}, "ws4redis.E044"),
        ("WS4REDIS_JWT", {"algorithms": ["HS256", "RS256"]}, "ws4redis.E044"),
        ("WS4REDIS_JWT", {"key": ""}, "ws4redis.E044"),
        ("WS4REDIS_HANDLER_PREFIX", None, "ws4redis.E045"),
        ("WS4REDIS_HANDLER_APPEND_SLASH", "yes", "ws4redis.E046"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: Any, check: str) -> None:
    with override_settings(**{name: value}):
        (message,) = check_settings()
        assert message.id == check
        assert message.msg.startswith(name)
        with pytest.raises(ImproperlyConfigured, match=name):
            get_settings()


def test_the_app_that_keeps_tokens_has_to_be_installed() -> None:
    named = "ws4redis.tokens.rest_framework.authenticate"
    for method in (named, [JWT, named], [import_string(named)]):
        with override_settings(WS4REDIS_TOKEN_AUTH=method):
            (message,) = check_project()
        assert message.id == "ws4redis.E048"
        assert "'rest_framework.authtoken'" in message.msg
    apps = [*settings.INSTALLED_APPS, "rest_framework.authtoken"]
    with override_settings(WS4REDIS_TOKEN_AUTH=named, INSTALLED_APPS=apps):
        assert check_project() == []


def test_a_wrong_key_is_not_shown() -> None:
    for value in ({"key": ["secret-key"]}, "secret-key"):
        with override_settings(WS4REDIS_JWT=value):
            (message,) = check_settings()
        assert "secret-key" not in message.msg
    with override_settings(WS4REDIS_JWT={"key": "secret-key", "algorithms": "RS256"}):
        (message,) = check_settings()
    assert "'RS256'" in message.msg
    assert "secret-key" not in message.msg


@pytest.mark.parametrize(
    ("options", "check"),
    [
        ({"field": "nope"}, "ws4redis.E049"),
        ({"field": "username__nope"}, "ws4redis.E049"),
        ({"algorithms": ["HS999"]}, "ws4redis.E049"),
        ({"algorithms": ["RS256"], "key": "secret-key"}, "ws4redis.E049"),
        ({"algorithms": ["ES256"], "key": "secret-key"}, "ws4redis.E049"),
        ({"field": "email"}, "ws4redis.W009"),
        ({"field": "username__iexact"}, "ws4redis.W009"),
        ({"field": "groups__name"}, "ws4redis.W009"),
        ({"field": "username"}, None),
        ({"field": "id"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_signed_tokens_that_lead_to_nobody_are_named(options: Any, check: str | None) -> None:
    with override_settings(WS4REDIS_JWT=options):
        assert check_project() == []
        with override_settings(WS4REDIS_TOKEN_AUTH=[TICKETS, JWT]):
            messages = check_project()
    assert [message.id for message in messages] == [check][: check is not None]
    assert "secret-key" not in str(messages)
