"""What a bus has to do: that of the loop on a real Redis, and that of tests on one in memory."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from select import select
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpRequest
from django.test import override_settings

from tests.servers import RedisServer
from tests.waiting import wait_for
from ws4redis import wsgi
from ws4redis.changes import kick
from ws4redis.conf import get_settings
from ws4redis.history import NOWHERE, PAGE, Position
from ws4redis.loop.admission import Identity
from ws4redis.loop.facility import Facility, Membership
from ws4redis.loop.runner import Runner
from ws4redis.publisher import RedisPublisher
from ws4redis.testing import override_bus
from ws4redis.testing.bus import current_scene
from ws4redis.testing.scene import Scene
from ws4redis.views.handlers.manager import SubscriptionManager
from ws4redis.views.handlers.socket import HandlerSocket
from ws4redis.views.line import LoopLine
from ws4redis.views.socket import Event, Websocket
from ws4redis.wire.outgoing import PLAIN

KEPT = {"kept-*": {"length": 2000}}


class Server:
    own_thread = True
    mercy = 1.0


Connected = tuple[Any, Callable[[], None]]


class World:
    """A loop on a bus.

    Args:
        runner: The loop.
        connect: Returns the loop's end of a connection, and what drops the other one.
        let_go: Lets the bus do what it has to do.
    """

    def __init__(
        self, runner: Runner, connect: Callable[[], Connected], let_go: Callable[[], None]
    ) -> None:
        self._runner = runner
        self._connect = connect
        self._let_go = let_go
        self._facilities: list[Facility] = []
        self._lines: list[LoopLine] = []
        self._drops: list[Callable[[], None]] = []

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

    def view(self, user: str = "") -> Websocket:
        """Open the websocket of a view, for a user."""
        line = LoopLine(self._runner, PLAIN)
        sock, drop = self._connect()
        place = self._runner.call(self._runner.enter, "10.0.0.1")
        self._runner.call(self._runner.identify, place, Identity(user=user))
        self._runner.call(self._runner.adopt, sock, line, b"", place)
        self._lines.append(line)
        self._drops.append(drop)
        websocket = Websocket(HttpRequest(), Opened(line))
        websocket.accept()
        return websocket

    def close(self) -> None:
        for facility in tuple(self._facilities):
            self.leave(facility)
        for drop in self._drops:
            drop()
        for line in self._lines:
            self.until(lambda line=line: line.is_closed)  # type: ignore[misc]
            line.release()

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait for a condition."""

        def holds() -> Any:
            self._let_go()
            return condition()

        wait_for(holds)

    def await_event(self, view: Websocket) -> None:
        """Wait until a view has something to fetch, or its end."""
        self.until(lambda: select([view], [], [], 0)[0])

    def next(self, view: Websocket) -> Event | None:
        """Return what a view gets next; None at its end."""
        self.await_event(view)
        return next(view.events(), None)

    def expect(self, facility: Facility, *payloads: str) -> Sequence[Position | None]:
        """See that exactly these messages came, in order; return their positions."""
        self.until(lambda: len(facility.handover.merged()) >= len(payloads))
        messages = facility.handover.merged()
        assert [message.payload.decode() for message in messages] == list(payloads)
        return [Position.parse(message.position) for message in messages]


class Opened:
    """The upgrade of a websocket that is open already."""

    def __init__(self, line: LoopLine) -> None:
        self._line = line

    def accept(self, *handshake: Any) -> LoopLine:
        return self._line


def pair() -> Connected:
    server, client = socket.socketpair()
    return server, client.close


def wire(scene: Scene) -> Connected:
    server, client = scene.wires.connect()
    return server, client.end


@pytest.fixture(params=["redis", "memory"])
def world(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[World]:
    with override_settings(WS4REDIS_HISTORY=KEPT, WS4REDIS_EXPIRE=60):
        if request.param == "redis":
            made = World(wsgi.get_runner(Server()), pair, lambda: None)
            yield made
            made.close()
            wsgi.stop_runner()
            return
        with override_bus():
            scene = current_scene()
            assert scene is not None
            made = World(scene.runner(get_settings()), partial(wire, scene), scene.run)
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


def test_views_follow_channels_until_they_leave_them(world: World, plain: str) -> None:
    one, two = f"{plain}:one", f"{plain}:two"
    reader, other, writer = world.view(), world.view(), world.view()
    assert writer.publish(one, "before") == 0
    reader.subscribe(one, two)
    other.subscribe(one)
    assert [writer.publish(one, "a"), writer.publish(two, b"\xff"), reader.publish(one, "c")] == [
        1,
        1,
        1,
    ]
    assert [world.next(reader) for _ in range(3)] == [(one, "a"), (two, b"\xff"), (one, "c")]
    reader.unsubscribe(one)
    assert writer.publish(one, "d") == 1
    writer.publish(two, "e")
    assert world.next(reader) == (two, "e")
    assert [world.next(other) for _ in range(3)] == [(one, "a"), (one, "c"), (one, "d")]
    other.close()
    world.until(lambda: writer.publish(one, "f") == 0)


def test_views_leave_and_join_again(world: World, plain: str) -> None:
    view = world.view()
    for number in range(3):
        view.subscribe(plain)
        assert view.publish(plain, str(number)) == 1
        assert world.next(view) == (plain, str(number))
        view.unsubscribe(plain)
        world.until(lambda: view.publish(plain, "missed") == 0)


@pytest.mark.parametrize("kind", ["plain", "kept"])
def test_views_follow_facilities_from_now_on(
    world: World, kind: str, request: pytest.FixtureRequest
) -> None:
    facility = request.getfixturevalue(kind)
    name = f"broadcast:{facility}"
    publish(facility, "persisted", expire=60)
    view, member = world.view(), world.join(name)
    view.subscribe(name)
    publish(facility, "one", "two")
    assert view.publish(name, "three") == 1
    assert [world.next(view) for _ in range(3)] == [(name, "one"), (name, "two"), (name, "three")]
    world.expect(member, "persisted", "one", "two", "three")


def test_the_channels_of_a_manager(world: World, plain: str) -> None:
    view, heard = world.view(), list[tuple[str, Any]]()
    handler = HandlerSocket(view, None)
    manager = SubscriptionManager(handler)
    names = [f"{plain}:{number}" for number in range(3)]

    def hear(name: str, message: Any) -> bool:
        heard.append((name, message))
        return bool(message != "last")

    def expect(*messages: tuple[str, Any]) -> None:
        while len(heard) < len(messages):
            world.await_event(view)
            count = len(heard)
            handler.wait_until(lambda: len(heard) > count)  # noqa: B023 # is called at once
        assert heard == [*messages]
        heard.clear()

    readers = [manager.subscribe(name, hear) for name in names]
    for name in names:
        assert view.publish(name, name) == 1
    expect(*((name, name) for name in names))
    view.publish(names[0], "last")
    view.publish(names[1], "after")
    expect((names[0], "last"), (names[1], "after"))
    manager.remove(readers[1])
    for name in names[:2]:
        world.until(lambda name=name: view.publish(name, "nobody") == 0)  # type: ignore[misc]
    view.publish(names[2], "still")
    expect((names[2], "still"))
    manager.stop()
    world.until(lambda: view.publish(names[2], "nobody") == 0)


def test_who_is_kicked_goes_and_leaves_the_channels(world: World, plain: str) -> None:
    john, mary = uuid4().hex, uuid4().hex
    views = [world.view(john), world.view(john), world.view(mary)]
    for view in views:
        view.subscribe(plain)
    assert kick(users=[john]) >= 1
    world.until(lambda: [view.close_code for view in views] == [4501, 4501, None])
    assert world.next(views[0]) is None
    assert views[2].publish(plain, "still here") == 1
    assert world.next(views[2]) == (plain, "still here")
    kick(users=[mary])
    world.until(lambda: views[2].publish(plain, "all are gone") == 0)
