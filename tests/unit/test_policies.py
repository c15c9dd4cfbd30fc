"""Who may do what, by the ready-made policies."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from ws4redis import policies

ASKED = ["subscribe-broadcast", "publish-broadcast", "subscribe-user"]
LISTEN = ["subscribe-broadcast", "subscribe-user"]


def request(facility: str = "foo", is_authenticated: bool = False) -> Any:
    user = SimpleNamespace(is_authenticated=is_authenticated)
    return SimpleNamespace(path_info=f"/ws/{facility}", user=user)


def test_each_policy_grants_what_it_says() -> None:
    assert policies.everybody(request(), ASKED) == ASKED
    assert policies.subscribe_only(request(), ASKED) == LISTEN
    assert policies.authenticated_only(request(is_authenticated=True), ASKED) == ASKED


@pytest.mark.parametrize("policy", [policies.nobody, policies.authenticated_only])
def test_a_stranger_is_refused(policy: policies.Policy) -> None:
    with pytest.raises(PermissionDenied):
        policy(request(), ASKED)


def test_all_of_some_policies_must_agree() -> None:
    both = policies.all_of(policies.authenticated_only, policies.subscribe_only)
    assert both(request(is_authenticated=True), ASKED) == LISTEN
    with pytest.raises(PermissionDenied):
        both(request(), ASKED)


@pytest.mark.parametrize(
    ("facility", "granted"),
    [("news", LISTEN), ("chat-7", ASKED), ("chat", None), ("news/../chat-7", None), ("", None)],
)
def test_each_facility_has_its_rule(facility: str, granted: list[str] | None) -> None:
    rules = {"news": policies.subscribe_only, "chat-*": policies.everybody}
    policy = policies.by_facility(rules)
    if granted is None:
        with pytest.raises(PermissionDenied):
            policy(request(facility), ASKED)
    else:
        assert policy(request(facility), ASKED) == granted


def test_the_first_rule_that_fits_counts() -> None:
    policy = policies.by_facility({"a*": policies.subscribe_only, "*": policies.everybody})
    assert policy(request("apple"), ASKED) == LISTEN
    assert policy(request("pear"), ASKED) == ASKED
