"""Whose pages may open websockets: the Origin beside what the site says of itself."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from tests.integration.test_access import ask, refusal

# Without a cookie nothing looks into the database, but the settings name one.
pytestmark = pytest.mark.usefixtures("users")

LONG = "a" * 60_000

OWN = [
    ("http://example.com", "example.com"),
    ("https://example.com", "example.com"),
    ("HTTP://EXAMPLE.COM", "example.com"),
    ("http://example.com", "EXAMPLE.com"),
    ("http://example.com:8000", "example.com:8000"),
    ("http://example.com", "example.com:80"),
    ("http://example.com:80", "example.com"),
    ("https://example.com", "example.com:443"),
    ("https://example.com:443", "example.com"),
    ("http://example.com.", "example.com."),
    ("http://xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("http://my_host:8000", "my_host:8000"),
    ("http://127.0.0.1:8000", "127.0.0.1:8000"),
    ("http://[::1]:8000", "[::1]:8000"),
    ("http://[2001:DB8::1]", "[2001:db8::1]:80"),
]


@pytest.mark.parametrize(("origin", "host"), OWN)
def test_a_page_of_the_host_that_is_asked_may(origin: str, host: str) -> None:
    assert ask("subscribe-broadcast", origin=origin, host=host).subscriber.subscriptions


OTHER = [
    ("http://evil.example", "example.com"),
    ("http://evil-example.com", "example.com"),
    ("http://example.com.evil.example", "example.com"),
    ("http://www.example.com", "example.com"),
    ("http://example.com", "www.example.com"),
    ("http://example.com:8000", "example.com"),
    ("http://example.com", "example.com:8000"),
    ("http://example.com:8000", "example.com:8001"),
    ("http://example.com", "example.com:443"),
    ("https://example.com", "example.com:80"),
    ("http://example.com.", "example.com"),
    ("http://[::1]:8000", "[::2]:8000"),
    ("http://[::1]", "::1"),
    (f"http://example.com.{LONG}.example", "example.com"),
]


@pytest.mark.parametrize(("origin", "host"), OTHER)
def test_a_page_of_another_host_or_port_may_not(origin: str, host: str) -> None:
    refused = refusal(origin=origin, host=host)
    assert refused.status == 403
    assert origin[:100] in refused.detail
    assert origin not in refused.message
    assert len(refused.detail) < 1000


# What is no origin of a page of the web is refused though the host, as it is written there, is the
# one that is asked, and though the wildcard would fit the end of it.
NONE = [
    "",
    " ",
    "null",
    "NULL",
    "example.com",
    "//example.com",
    "http:example.com",
    "http:/example.com",
    "http://",
    "http:///example.com",
    "://example.com",
    "http://example.com/",
    "http://example.com/page",
    "http://example.com?query",
    "http://example.com#fragment",
    "http://example.com\\@evil.example",
    "http://example.com@evil.example",
    "http://evil.example@example.com",
    "http://evil.example:80@example.com",
    "http://user:password@example.com",
    "http://example.com:",
    "http://example.com:port",
    "http://example.com:123456",
    "http://example.com:-1",
    "http://evil.example,http://example.com",
    "http://example.com,http://evil.example",
    "http://example.com, http://example.com",
    "http://example.com http://evil.example",
    "http://evil.example,example.com",
    " http://example.com",
    "http://example.com ",
    "http://example.com\n",
    "http://exam\tple.com",
    "http://example.com\r\nX-Injected: 1",
    "http://example.com\x00",
    "http://evil.example\x00.example.com",
    "http://example\x7f.com",
    "http://bücher.example.com",
    "http://b\xc3\xbccher.example.com",
    "http://\u212aexample.com",
    "http://example\u3002com",
    "http://example%2ecom",
    "http://a..example.com",
    "http://.example.com",
    "http://*.example.com",
    "http://[::1",
    "http://::1]",
    "http://[broken]",
    "http://[::1]example.com",
    "http://[example.com]",
    "file://",
    "file://example.com",
    "file:///home/john/page.html",
    "about:blank",
    "data:text/html,hello",
    "javascript://example.com",
    "ws://example.com",
    "wss://example.com",
    "chrome-extension://example.com",
    "capacitor://example.com",
    f"http://example.com/{LONG}",
    LONG,
]

TRUSTING = {
    "ALLOWED_HOSTS": ["*", ".example.com", "[::1]"],
    "CSRF_TRUSTED_ORIGINS": ["http://*.example.com", "https://*.example.com"],
    "WS4REDIS_ALLOWED_ORIGINS": ["http://*.example.com"],
}


@pytest.mark.parametrize("settings", [{}, TRUSTING], ids=["plain", "trusting"])
@pytest.mark.parametrize("origin", NONE, ids=lambda origin: ascii(origin)[1:50])
def test_what_is_no_origin_of_a_page_is_refused(origin: str, settings: dict[str, Any]) -> None:
    hosts = ["example.com", origin.partition("://")[2]]
    with override_settings(**settings):
        assert [refusal(origin=origin, host=host).status for host in hosts] == [403, 403]


TRUSTED_APP = {"CSRF_TRUSTED_ORIGINS": ["https://*.app.org", "https://app.org:8443"]}
ALLOWED_APP = {"WS4REDIS_ALLOWED_ORIGINS": ["https://*.app.org", "https://app.org:8443"]}

NAMED = [
    # By ALLOWED_HOSTS: a name stands for all its ports, as the loop may not know the public one.
    ("https://www.site.org", {"ALLOWED_HOSTS": ["www.site.org"]}, True),
    ("https://WWW.site.org", {"ALLOWED_HOSTS": ["www.Site.org"]}, True),
    ("https://www.site.org:8443", {"ALLOWED_HOSTS": ["www.site.org"]}, True),
    ("https://www.site.org.", {"ALLOWED_HOSTS": ["www.site.org"]}, True),
    ("https://site.org", {"ALLOWED_HOSTS": ["www.site.org"]}, False),
    ("https://a.www.site.org", {"ALLOWED_HOSTS": ["www.site.org"]}, False),
    ("https://www.site.org", {"ALLOWED_HOSTS": [".site.org"]}, True),
    ("https://a.b.site.org", {"ALLOWED_HOSTS": [".site.org"]}, True),
    ("https://site.org", {"ALLOWED_HOSTS": [".site.org"]}, True),
    ("https://evilsite.org", {"ALLOWED_HOSTS": [".site.org"]}, False),
    ("https://evil-site.org", {"ALLOWED_HOSTS": [".site.org"]}, False),
    ("https://site.org.evil.example", {"ALLOWED_HOSTS": [".site.org"]}, False),
    ("https://www.site.org", {"ALLOWED_HOSTS": ["*"]}, False),
    ("https://www.site.org", {"ALLOWED_HOSTS": ["*", ".site.org"]}, True),
    ("https://www.site.org", {"ALLOWED_HOSTS": []}, False),
    ("https://www.site.org", {"ALLOWED_HOSTS": [""]}, False),
    ("https://www.site.org", {"ALLOWED_HOSTS": ["*.org"]}, False),
    ("http://[::1]:8000", {"ALLOWED_HOSTS": ["[::1]"]}, True),
    ("http://[::2]:8000", {"ALLOWED_HOSTS": ["[::1]"]}, False),
    ("http://127.0.0.1:8000", {"ALLOWED_HOSTS": ["127.0.0.1"]}, True),
    ("http://127.0.0.1.evil.example", {"ALLOWED_HOSTS": ["127.0.0.1"]}, False),
    ("capacitor://localhost", {"ALLOWED_HOSTS": ["localhost"]}, False),
    # The Host is a stranger's who let his own name lead here: Django would serve no page there.
    ("http://example.com", {"ALLOWED_HOSTS": ["site.org"]}, False),
    ("http://example.com", {"ALLOWED_HOSTS": ["example.com"]}, True),
    ("http://example.com", {"ALLOWED_HOSTS": [], "DEBUG": True}, False),
    # While one develops, Django serves these.
    ("http://localhost:8000", {"ALLOWED_HOSTS": [], "DEBUG": True}, True),
    ("http://a.localhost", {"ALLOWED_HOSTS": [], "DEBUG": True}, True),
    ("http://127.0.0.1:8000", {"ALLOWED_HOSTS": [], "DEBUG": True}, True),
    ("http://[::1]:8000", {"ALLOWED_HOSTS": [], "DEBUG": True}, True),
    ("http://localhost.evil.example", {"ALLOWED_HOSTS": [], "DEBUG": True}, False),
    ("http://localhost:8000", {"ALLOWED_HOSTS": []}, False),
    ("http://localhost:8000", {"ALLOWED_HOSTS": ["site.org"], "DEBUG": True}, False),
    # By origin: scheme, name and port count. An extension or app is none of the site's own pages.
    *[
        (origin, settings, good)
        for settings in (TRUSTED_APP, ALLOWED_APP)
        for origin, good in (
            ("https://a.app.org", True),
            ("https://A.App.org", True),
            ("https://a.app.org:443", True),
            ("https://a.b.app.org", True),
            ("https://app.org", True),
            ("https://app.org:8443", True),
            ("https://a.app.org:8443", False),
            ("https://app.org:8444", False),
            ("http://a.app.org", False),
            ("https://evilapp.org", False),
            ("https://app.org.evil.example", False),
            ("https://a.app.org.", False),
        )
    ],
    ("https://x.org", {"WS4REDIS_ALLOWED_ORIGINS": ["https://X.org:443"]}, True),
    ("http://x.org:443", {"WS4REDIS_ALLOWED_ORIGINS": ["http://x.org"]}, False),
    ("http://x.org", {"WS4REDIS_ALLOWED_ORIGINS": ["https://*"]}, False),
    ("https://x.org", {"WS4REDIS_ALLOWED_ORIGINS": ["https://*"]}, False),
    ("http://[::1]:3000", {"WS4REDIS_ALLOWED_ORIGINS": ["http://[::1]:3000"]}, True),
    (
        "chrome-extension://abcdef",
        {"WS4REDIS_ALLOWED_ORIGINS": ["chrome-extension://abcdef"]},
        True,
    ),
    (
        "chrome-extension://abcdeg",
        {"WS4REDIS_ALLOWED_ORIGINS": ["chrome-extension://abcdef"]},
        False,
    ),
    ("capacitor://localhost", {"WS4REDIS_ALLOWED_ORIGINS": ["capacitor://localhost"]}, True),
]


@pytest.mark.parametrize(("origin", "settings", "good"), NAMED)
def test_the_settings_name_whose_pages_may(
    origin: str, settings: dict[str, Any], good: bool
) -> None:
    with override_settings(**settings):
        if good:
            ask(origin=origin)
        else:
            assert refusal(origin=origin).status == 403


BEHIND_TLS = {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")}
LISTED = {"CSRF_TRUSTED_ORIGINS": ["http://example.com"]}
NAMED_HOST = {"ALLOWED_HOSTS": ["example.com"]}


@pytest.mark.parametrize(
    ("origin", "proto", "settings", "good"),
    [
        ("https://example.com", "https", BEHIND_TLS, True),
        ("http://example.com", "http", BEHIND_TLS, True),
        # TLS may end where nobody tells the loop of it.
        ("https://example.com", "http", BEHIND_TLS, True),
        ("https://example.com", "https", {}, True),
        # A page that came without TLS may be anybody's.
        ("http://example.com", "https", BEHIND_TLS, False),
        ("http://example.com", "https, http", BEHIND_TLS, False),
        ("http://example.com", "https", BEHIND_TLS | NAMED_HOST, False),
        ("http://example.com", "https", BEHIND_TLS | LISTED, True),
        # Nobody is believed whom the site does not trust.
        ("http://example.com", "https", {}, True),
    ],
)
def test_a_page_without_tls_is_none_of_a_site_with_tls(
    origin: str, proto: str, settings: dict[str, Any], good: bool
) -> None:
    with override_settings(**settings):
        if good:
            ask(origin=origin, x_forwarded_proto=proto)
        else:
            assert refusal(origin=origin, x_forwarded_proto=proto).status == 403


@pytest.mark.parametrize(
    ("origin", "forwarded", "trusted", "good"),
    [
        ("https://front.org", "front.org", True, True),
        ("https://front.org:8443", "front.org:8443", True, True),
        ("https://front.org", "front.org", False, False),
        ("http://example.com", "front.org", True, False),
        ("http://example.com", "front.org", False, True),
        ("https://front.org", "", True, False),
        ("https://front.org", "evil.example, front.org", True, False),
        ("https://front.org", "front.org, evil.example", True, False),
    ],
)
def test_the_host_that_a_proxy_forwards_counts_only_if_django_trusts_it(
    origin: str, forwarded: str, trusted: bool, good: bool
) -> None:
    request = {"origin": origin, "x_forwarded_host": forwarded}
    with override_settings(USE_X_FORWARDED_HOST=trusted):
        if good:
            ask(**request)
        else:
            assert refusal(**request).status == 403


def test_without_an_origin_it_is_no_browser() -> None:
    assert ask(query="subscribe-broadcast").subscriber.subscriptions
