"""What Django does to users and groups is told on the control channel."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.db import transaction
from django.test import override_settings

from tests.waiting import PATIENCE
from ws4redis import changes
from ws4redis.channels import CONTROL


@pytest.fixture
def told(redis_client: redis.Redis) -> Iterator[Callable[[], list[Any]]]:
    """Returns the orders that came until the one that is published last."""
    with redis_client.pubsub() as listening:
        listening.subscribe(CONTROL)
        assert listening.get_message(timeout=PATIENCE)["type"] == "subscribe"

        def orders() -> list[Any]:
            redis_client.publish(CONTROL, "end")
            payloads: list[bytes] = []
            while b"end" not in payloads:
                message = listening.get_message(timeout=PATIENCE)
                assert message is not None
                payloads.append(message["data"])
            return [json.loads(payload) for payload in payloads[:-1]]

        yield orders


@pytest.fixture
def user(users: Any) -> Iterator[Any]:
    from django.contrib.auth.models import User

    made = User.objects.create_user("changing")
    yield made
    User.objects.filter(pk=made.pk).delete()


def check(*users: Any) -> dict[str, Any]:
    return {"check": {"users": [str(one.pk) for one in users]}}


def test_a_save_is_told_unless_it_is_a_login(user: Any, told: Any) -> None:
    user.save()
    user.save(update_fields=["last_login"])
    user.save(update_fields=["is_active"])
    assert told() == [check(user), check(user)]


def test_a_new_user_has_no_websockets_to_tell_of(user: Any, told: Any) -> None:
    from django.contrib.auth.models import User

    User.objects.create_user("newcomer").delete()
    assert [list(order) for order in told()] == [["check"]]


@pytest.fixture(scope="module")
def proxy() -> Any:
    from django.contrib.auth.models import User

    class Member(User):
        class Meta:
            proxy = True
            app_label = "auth"

    changes.connect()
    return Member


def test_who_saves_a_proxy_of_the_user_saves_the_user(user: Any, told: Any, proxy: Any) -> None:
    proxy.objects.get(pk=user.pk).save()
    assert told() == [check(user)]


def test_changes_of_one_transaction_are_told_when_it_commits(user: Any, told: Any) -> None:
    with transaction.atomic():
        user.save()
        assert told() == []
    assert told() == [check(user)]


def test_a_transaction_that_is_rolled_back_tells_nothing(user: Any, told: Any) -> None:
    with transaction.atomic():
        user.save()
        transaction.set_rollback(True)
    assert told() == []


def test_a_group_tells_of_its_members(user: Any, told: Any) -> None:
    from django.contrib.auth.models import Group

    group = Group.objects.create(name="changing")
    group.user_set.add(user)
    group.name = "changed"
    group.save()
    group.user_set.clear()
    user.groups.add(group)
    group.delete()
    assert told() == [check(user)] * 5


def test_of_a_large_group_everybody_is_looked_at(
    users: Any, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.contrib.auth.models import Group

    monkeypatch.setattr(changes, "MANY", 1)
    Group.objects.get(name="chatters").save()
    assert told() == [{"check": {"everybody": True}}]


def test_without_a_database_connection_a_logout_needs_none(told: Any) -> None:
    from types import SimpleNamespace

    from django.db import connection

    connection.close()
    request = SimpleNamespace(session=SimpleNamespace(session_key="abc"))
    changes._on_logout(request=request, user=None)
    assert connection.connection is None
    assert told() == [{"kick": {"sessions": ["abc"]}}]


@pytest.mark.parametrize(
    "whom",
    [{"users": "john"}, {"users": [""]}, {"users": [7]}, {"addresses": [""]}, {"sessions": 1}],
)
def test_kick_names_what_is_no_name(whom: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(whom))):
        changes.kick(**whom)


def test_kick_takes_users(user: Any, told: Any) -> None:
    changes.kick(users=[user], addresses=["203.0.113.7"])
    kicked = {"names": ["changing"], "sessions": [], "addresses": ["203.0.113.7"]}
    assert told() == [{"kick": kicked}]


def test_who_saves_many_users_does_not_wait_for_redis_each_time(
    user: Any, silent_port: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    tell = changes._tell
    monkeypatch.setattr(changes, "_tell", lambda order: asked.append(order) or tell(order))
    silent = f"redis://127.0.0.1:{silent_port}"
    with override_settings(WS4REDIS_CONNECTION=silent, WS4REDIS_REDIS_TIMEOUT=0.1):
        for _ in range(10):
            user.save()
    assert len(asked) == 1
    assert "follow a change of rights late" in caplog.text
