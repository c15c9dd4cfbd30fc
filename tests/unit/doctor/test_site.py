"""What of the settings does not fit an address."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from ws4redis.doctor import site
from ws4redis.doctor.client import Target
from ws4redis.doctor.report import Level


def messages(url: str, **settings: Any) -> list[str]:
    with override_settings(**settings):
        findings = list(site.look_at(Target.parse(url, "/ws/", "foo")))
    assert all(finding.level is Level.WARNING and finding.hint for finding in findings)
    return [finding.message for finding in findings]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ALLOWED_HOSTS": ["other.example"]}, "no page of 'example.com'"),
        ({"SESSION_COOKIE_PATH": "/app"}, "for the path /app only"),
        ({"SESSION_COOKIE_DOMAIN": "other.example"}, "for the domain other.example only"),
        ({"SESSION_COOKIE_SECURE": True}, "SESSION_COOKIE_SECURE wants TLS"),
    ],
)
def test_what_does_not_fit_is_named(settings: dict[str, Any], message: str) -> None:
    (found,) = messages("http://example.com", **settings)
    assert message in found


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("http://example.com", {}),
        ("http://[::1]:8000", {"ALLOWED_HOSTS": ["[::1]"]}),
        ("http://localhost", {"ALLOWED_HOSTS": [], "DEBUG": True}),
        ("http://example.com", {"SESSION_COOKIE_PATH": "/ws"}),
        ("http://www.example.com", {"SESSION_COOKIE_DOMAIN": ".example.com"}),
        ("https://example.com", {"SESSION_COOKIE_SECURE": True}),
    ],
)
def test_what_fits_is_not_mentioned(url: str, settings: dict[str, Any]) -> None:
    assert messages(url, **settings) == []


def test_a_silenced_check_is_silent() -> None:
    with override_settings(SILENCED_SYSTEM_CHECKS=["ws4redis.W003"]):
        (finding,) = site.look()
    assert finding.level is Level.OK
