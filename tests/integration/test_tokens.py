"""What tokens are worth: tickets in a real Redis, and signed ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import RequestFactory, override_settings

from tests.servers import RedisServer
from ws4redis.checks import check_settings
from ws4redis.conf import get_settings
from ws4redis.exceptions import BusError
from ws4redis.tokens import tickets, token_required, user_of
from ws4redis.tokens.handed import hidden
from ws4redis.tokens.jwt import authenticate

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


def test_a_ticket_lasts_half_a_minute(anna: User, redis_client: Any) -> None:
    ticket = tickets.issue(anna)
    (key,) = redis_client.keys(f"*{ticket}")
    assert 0 < redis_client.ttl(key) <= 30
    redis_client.expire(key, 0)
    assert tickets.authenticate(ticket) is None


@override_settings(WS4REDIS_PREFIX="shop")
def test_tickets_lie_below_the_prefix(anna: User, redis_client: Any) -> None:
    ticket = tickets.issue(anna)
    assert redis_client.exists(f"shop:ws4redis:ticket:{ticket}")
    with override_settings(WS4REDIS_PREFIX="other"):
        assert tickets.authenticate(ticket) is None


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


def test_tickets_need_redis(anna: User, own_redis: RedisServer) -> None:
    with override_settings(WS4REDIS_CONNECTION=own_redis.url):
        ticket = tickets.issue(anna)
        own_redis.stop()
        with pytest.raises(BusError):
            tickets.issue(anna)
        answer = token_required(page)(request(ticket))
        assert (answer.status_code, answer["Retry-After"]) == (503, "2")


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
    both = [JWT, "ws4redis.tokens.tickets.authenticate"]
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
        ("WS4REDIS_JWT", "key", "ws4redis.E044"),
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


def test_a_wrong_key_is_not_shown() -> None:
    with override_settings(WS4REDIS_JWT={"key": ["secret-key"]}):
        (message,) = check_settings()
    assert "secret-key" not in message.msg
