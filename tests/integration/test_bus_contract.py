"""What a bus has to do: that of the loop on a real Redis, and that of tests on one in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
from django.test import override_settings

from tests.servers import RedisServer
from tests.waiting import wait_for
from ws4redis import wsgi
from ws4redis.conf import get_settings
from ws4redis.history import NOWHERE, PAGE, Position
from ws4redis.loop.facility import Facility, Membership
from ws4redis.loop.runner import Runner
from ws4redis.publisher import RedisPublisher
from ws4redis.testing import override_bus
from ws4redis.testing.bus import current_scene

KEPT = {"kept-*": {"length": 2000}}


class Server:
    own_thread = True
    mercy = 1.0


class World:
    """A loop on a bus.

    Args:
        runner: The loop.
        let_go: Lets the bus do what it has to do.
    """

    def __init__(self, runner: Runner, let_go: Callable[[], None]) -> None:
        self._runner = runner
        self._let_go = let_go
        self._facilities: list[Facility] = []

    def join(self, *channels: str, since: Position | None = None) -> Facility:
        names = tuple(channel.encode() for channel in channels)
        membership = Membership(subscriptions=names, since=dict.fromkeys(names, since))
        facility = self._runner.call(self._runner.prepare, membership)
        self._facilities.append(facility)
        return facility

    def publish(self, facility: Facility, payload: bytes) -> None:
        """Publish as a websocket does."""
        self._runner.call(self._runner.uplink.publish, facility, payload)

    def leave(self, facility: Facility) -> None:
        self._facilities.remove(facility)
        self._runner.call(facility.leave)

    def close(self) -> None:
        for facility in tuple(self._facilities):
            self.leave(facility)

    def expect(self, facility: Facility, *payloads: str) -> Sequence[Position | None]:
        """See that exactly these messages came, in order; return their positions."""

        def came() -> list[Any]:
            self._let_go()
            return facility.handover.merged()

        wait_for(lambda: len(came()) >= len(payloads))
        messages = came()
        assert [message.payload.decode() for message in messages] == list(payloads)
        return [Position.parse(message.position) for message in messages]


@pytest.fixture(params=["redis", "memory"])
def world(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[World]:
    with override_settings(WS4REDIS_HISTORY=KEPT, WS4REDIS_EXPIRE=60):
        if request.param == "redis":
            made = World(wsgi.get_runner(Server()), lambda: None)
            yield made
            made.close()
            wsgi.stop_runner()
            return
        with override_bus():
            scene = current_scene()
            assert scene is not None
            made = World(scene.runner(get_settings()), scene.run)
            yield made
            made.close()


@pytest.fixture
def plain() -> str:
    """A facility without a history."""
    return uuid4().hex


@pytest.fixture
def kept() -> str:
    """A facility with one."""
    return f"kept-{uuid4().hex}"


def publisher(facility: str) -> RedisPublisher:
    return RedisPublisher(facility=facility, broadcast=True)


def publish(facility: str, *messages: str, **options: Any) -> list[Any]:
    options.setdefault("expire", 0)
    return [publisher(facility).publish_message(message, **options) for message in messages]


def last(facility: str) -> Any:
    return RedisPublisher().fetch_message(None, facility, "broadcast")


@pytest.mark.parametrize("kind", ["plain", "kept"])
def test_messages_arrive_in_order_until_one_leaves(
    world: World, kind: str, request: pytest.FixtureRequest
) -> None:
    facility = request.getfixturevalue(kind)
    assert publish(facility, "before") == [0]
    member = world.join(f"broadcast:{facility}")
    assert publish(facility, "one", "two") == [1, 1]
    publish(f"{facility}-other", "elsewhere")
    assert publish(facility, "three") == [1]
    world.expect(member, "one", "two", "three")
    world.leave(member)
    wait_for(lambda: publish(facility, "four") == [0])


@pytest.mark.parametrize("kind", ["plain", "kept"])
def test_who_joins_later_gets_nothing_older(
    world: World, kind: str, request: pytest.FixtureRequest
) -> None:
    facility = request.getfixturevalue(kind)
    first = world.join(f"broadcast:{facility}")
    publish(facility, "one", "two")
    late = world.join(f"broadcast:{facility}")
    publish(facility, "three")
    world.expect(late, "three")
    world.expect(first, "one", "two", "three")


def test_several_channels_of_one_publish(world: World, plain: str) -> None:
    names = [f"user:{name}:{plain}" for name in ("john", "mary")]
    john, both = world.join(names[0]), world.join(*names)
    users = RedisPublisher(facility=plain, users=["john", "mary", "paul"])
    assert users.publish_message("hello") == 2
    world.expect(john, "hello")
    world.expect(both, "hello", "hello")


@pytest.mark.parametrize("kind", ["plain", "kept"])
def test_the_last_message_is_persisted_until_it_expires(
    world: World, kind: str, request: pytest.FixtureRequest
) -> None:
    facility = request.getfixturevalue(kind)
    publish(facility, "old", "new", expire=60)
    publish(facility, "not kept", expire=0)
    assert last(facility) == b"new"
    member = world.join(f"broadcast:{facility}")
    publish(facility, "live", expire=1)
    world.expect(member, "new", "live")
    wait_for(lambda: last(facility) is None)
    world.expect(world.join(f"broadcast:{facility}"))


@pytest.mark.parametrize("kind", ["plain", "kept"])
def test_websockets_publish(world: World, kind: str, request: pytest.FixtureRequest) -> None:
    facility = request.getfixturevalue(kind)
    name = f"broadcast:{facility}"
    reader, writer = world.join(name), world.join()
    writer.membership = Membership(publications=(name.encode(),))
    for text in ("one", "two"):
        world.publish(writer, text.encode())
    world.expect(reader, "one", "two")
    assert last(facility) == b"two"


def test_positions_grow_by_one(world: World, kept: str) -> None:
    first = world.join(f"broadcast:{kept}")
    publish(kept, "one", "two", "three")
    positions = world.expect(first, "one", "two", "three")
    assert [position and position.offset for position in positions] == [1, 2, 3]
    assert len({position and position.epoch for position in positions}) == 1


def test_what_was_missed_is_read_since_a_position(world: World, kept: str) -> None:
    name = f"broadcast:{kept}"
    first = world.join(name)
    publish(kept, "one", "two", "three")
    start = world.expect(first, "one", "two", "three")[0]
    late = world.join(name, since=start)
    publish(kept, "four")
    positions = world.expect(late, "two", "three", "four")
    assert [position and position.offset for position in positions] == [2, 3, 4]
    world.expect(first, "one", "two", "three", "four")
    world.expect(world.join(name, since=positions[-1]))


def test_more_is_missed_than_is_read_at_once(world: World, kept: str) -> None:
    name = f"broadcast:{kept}"
    first = world.join(name)
    numbers = [str(number) for number in range(PAGE + 10)]
    publish(kept, *numbers)
    start = world.expect(first, *numbers)[0]
    world.expect(world.join(name, since=start), *numbers[1:])


def test_a_position_that_is_unknown_gets_nothing(world: World, kept: str) -> None:
    publish(kept, "one")
    member = world.join(f"broadcast:{kept}", since=NOWHERE)
    publish(kept, "two")
    world.expect(member, "two")


def test_a_key_publishes_but_once(world: World, kept: str) -> None:
    member = world.join(f"broadcast:{kept}")
    first, again = publish(kept, "one", "one again", idempotency_key="key")
    assert (first, again) == (1, 0)
    publish(kept, "two", idempotency_key="other")
    publish(kept, "three")
    world.expect(member, "one", "two", "three")
