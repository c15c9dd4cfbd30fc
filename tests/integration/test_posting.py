"""Who may publish by a POST, and what is read of it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.test import override_settings

from ws4redis.access import authorize
from ws4redis.conf import get_settings
from ws4redis.endpoint import LoopClient
from ws4redis.exceptions import HandshakeError
from ws4redis.posting import read_body
from ws4redis.subscriber import RedisSubscriber

# Without a session nothing looks into the database, but the settings name one.
pytestmark = pytest.mark.usefixtures("users")

SECRET, OTHER = "a" * 32, "b" * 32
COOKIE = f"csrftoken={SECRET}"
PAGE = "https://example.com"


def publications(**variables: str) -> tuple[str, ...]:
    """Return the channels that a POST may write."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/ws/foo",
        "QUERY_STRING": "publish-broadcast",
        "HTTP_HOST": "example.com",
        "SERVER_NAME": "example.com",
        "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(b"csrfmiddlewaretoken=" + SECRET.encode()),
        "wsgi.url_scheme": "http",
        **variables,
    }
    grant = authorize(environ, get_settings(), RedisSubscriber(LoopClient(None)))
    return grant.subscriber.publications


def is_refused(**variables: str) -> bool:
    try:
        return not publications(**variables)
    except HandshakeError as error:
        return error.status == 403


def masked() -> str:
    """Return the token as it stands in a form."""
    request = HttpRequest()
    request.META["CSRF_COOKIE"] = SECRET
    return get_token(request)


@pytest.mark.parametrize("token", [SECRET, masked()], ids=["of the cookie", "of a form"])
def test_the_token_of_the_site_lets_in(token: str) -> None:
    assert publications(HTTP_COOKIE=COOKIE, HTTP_X_CSRFTOKEN=token) == ("broadcast:foo",)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"HTTP_COOKIE": COOKIE},
        {"HTTP_X_CSRFTOKEN": SECRET},
        {"HTTP_COOKIE": COOKIE, "HTTP_X_CSRFTOKEN": OTHER},
        {"HTTP_COOKIE": COOKIE, "HTTP_X_CSRFTOKEN": SECRET[:-1]},
        {"HTTP_COOKIE": "csrftoken=", "HTTP_X_CSRFTOKEN": ""},
        # What a form of another site can send.
        {"HTTP_COOKIE": COOKIE, "CONTENT_TYPE": "application/x-www-form-urlencoded"},
    ],
)
def test_nothing_else_does(variables: dict[str, str]) -> None:
    assert is_refused(**variables)


def test_names_of_the_site_count() -> None:
    names = {"CSRF_COOKIE_NAME": "sitetoken", "CSRF_HEADER_NAME": "HTTP_X_SITE"}
    with override_settings(**names):
        assert publications(HTTP_COOKIE=f"sitetoken={SECRET}", HTTP_X_SITE=SECRET)
        assert is_refused(HTTP_COOKIE=COOKIE, HTTP_X_CSRFTOKEN=SECRET)


def test_the_token_may_be_in_the_session() -> None:
    session = SessionStore()
    session["_csrftoken"] = SECRET
    session.save()
    mine = f"sessionid={session.session_key}"
    with override_settings(CSRF_USE_SESSIONS=True):
        assert publications(HTTP_COOKIE=mine, HTTP_X_CSRFTOKEN=SECRET)
        assert is_refused(HTTP_COOKIE=f"{mine}; {COOKIE}", HTTP_X_CSRFTOKEN=OTHER)
        assert is_refused(HTTP_COOKIE=COOKIE, HTTP_X_CSRFTOKEN=SECRET)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HTTP_ORIGIN": PAGE}, True),
        ({"HTTP_ORIGIN": "https://evil.example"}, False),
        ({"HTTP_ORIGIN": "null"}, False),
        ({"HTTP_REFERER": f"{PAGE}/page"}, True),
        ({"HTTP_REFERER": "https://evil.example/page"}, False),
        ({}, False),
    ],
)
def test_with_tls_the_page_must_be_known(variables: dict[str, str], expected: bool) -> None:
    secure = {"wsgi.url_scheme": "https", "SERVER_PORT": "443"}
    good = {"HTTP_COOKIE": COOKIE, "HTTP_X_CSRFTOKEN": SECRET}
    assert is_refused(**secure, **good, **variables) is not expected


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("WS4REDIS_ALLOWED_ORIGINS", False), ("CSRF_TRUSTED_ORIGINS", True)],
)
def test_another_origin_must_be_one_that_django_trusts(setting: str, expected: bool) -> None:
    other = "https://app.example.org"
    good = {"HTTP_COOKIE": COOKIE, "HTTP_X_CSRFTOKEN": SECRET, "HTTP_ORIGIN": other}
    with override_settings(**{setting: [other]}):
        assert is_refused(**good) is not expected


class Failing(io.BytesIO):
    """A body that ends in an error."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def read(self, size: int | None = -1) -> bytes:
        raise self._error


def body(content: io.BytesIO, length: str | None, **variables: str) -> bytes | int:
    """Return a body of at most five bytes, or the status of its refusal."""
    environ: dict[str, Any] = {"wsgi.input": content, **variables}
    if length is not None:
        environ["CONTENT_LENGTH"] = length
    try:
        return read_body(environ, 5)
    except HandshakeError as error:
        return error.status


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        ("5", b"12345"),
        ("2", b"12"),
        ("0", b""),
        ("", b""),
        (None, b""),
        ("6", 413),
        ("9" * 15, 413),
        ("9" * 16, 400),
        ("-1", 400),
        ("+5", 400),
        ("5_0", 400),
        ("\u0665", 400),
    ],
)
def test_a_body_is_as_long_as_it_says_and_not_too_long(length: Any, expected: Any) -> None:
    assert body(io.BytesIO(b"1234567"), length) == expected


def test_a_body_that_does_not_come_is_refused() -> None:
    assert body(io.BytesIO(b"12"), "3") == 400
    assert body(Failing(TimeoutError()), "3") == 408
    assert body(Failing(ConnectionResetError()), "3") == 400
    assert body(io.BytesIO(b"12"), None, HTTP_TRANSFER_ENCODING="chunked") == 411


def test_a_body_of_unknown_size_is_told_to_the_log_with_the_limit() -> None:
    environ = {"wsgi.input": io.BytesIO(b"12"), "HTTP_TRANSFER_ENCODING": "chunked"}
    with pytest.raises(HandshakeError) as refusal:
        read_body(environ, 5)
    assert "Transfer-Encoding: chunked" in refusal.value.detail
    assert "WS4REDIS_MAX_MESSAGE_SIZE allows 5 bytes" in refusal.value.detail
