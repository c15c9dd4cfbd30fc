"""A Redis in the memory of a test, and a bus that needs no link to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

import redis

from ws4redis.exceptions import BusError
from ws4redis.history import Call, Histories
from ws4redis.loop.bus import Delivery
from ws4redis.redis_client import run
from ws4redis.redis_store import publish

Reply = Callable[[Any], None]

NO_REDIS = "This test has no Redis: one in memory needs pip install 'ws4redis[testing]'."


class Listener(Protocol):
    """Who is told of messages."""

    def on_messages(self, deliveries: tuple[Delivery, ...]) -> None: ...


def memory_client() -> Any:
    """Return a client of a Redis that is empty, and this client's only.

    Without ``fakeredis``, whoever uses it is told so; there are views that do not.
    """
    try:
        import fakeredis
        import lupa  # noqa: F401 # fakeredis runs scripts with it
    except ImportError:
        return NoRedis()
    return fakeredis.FakeRedis(server=fakeredis.FakeServer())


def let_expire(client: Any, seconds: float) -> None:
    """Let time pass for the keys of a Redis in memory."""
    for key in client.scan_iter():
        left = client.pttl(key)
        if left >= 0:
            client.pexpire(key, left - round(seconds * 1000))


class DirectBus:
    """Does what the loop's bus does, but each command at once.

    What was published is handed over when ``deliver`` is called, and before each answer that has to
    be in order with it.

    Args:
        client: A Redis client.
        listener: Is told of messages.
        histories: The channels that have one.
    """

    is_connected = True
    epoch = 0
    refused: frozenset[bytes] = frozenset()

    def __init__(self, client: Any, listener: Listener, histories: Histories) -> None:
        self._client = client
        self._listener = listener
        self._histories = histories
        self._pubsub = client.pubsub()
        self._is_delivering = False

    def wait_connected(self, timeout: float | None) -> None:
        """Return: it is always there."""

    def subscribe(self, channel: bytes) -> None:
        """Receive the messages of a channel."""
        self._pubsub.subscribe(channel)

    def unsubscribe(self, channel: bytes) -> None:
        """Receive no messages of a channel any more."""
        self._pubsub.unsubscribe(channel)

    def get(self, key: bytes, reply: Reply) -> None:
        """Read a persisted message."""
        self.deliver()
        reply(self._client.get(key))

    def ping(self, reply: Reply) -> None:
        """Answer when all that was published before is delivered."""
        self.deliver()
        reply(b"PONG")

    def run(self, call: Call, reply: Reply) -> None:
        """Run a script."""
        self.deliver()
        reply(run(self._client, [call])[0])

    def publish(
        self,
        channels: Iterable[bytes],
        payload: bytes,
        expire: int,
        refused: Callable[[bytes], None] = lambda channel: None,
    ) -> bool:
        """Publish a message."""
        publish(self._client, [channel.decode() for channel in channels], payload, expire)
        return True

    def deliver(self) -> bool:
        """Hand over what was published; return whether that was anything."""
        return self._hand_over(None)

    def deliver_next(self) -> bool:
        """Hand over one message that was published; return whether there was any.

        So each view can take it before the next one comes, as it could from a loop beside it.
        """
        return self._hand_over(1)

    def close(self) -> None:
        """Follow nothing any more."""
        self._pubsub.close()

    def _hand_over(self, limit: int | None) -> bool:
        if self._is_delivering:
            return False
        self._is_delivering = True
        try:
            deliveries = tuple(islice(self._arrived(), limit))
            if deliveries:
                self._listener.on_messages(deliveries)
        finally:
            self._is_delivering = False
        return bool(deliveries)

    def _arrived(self) -> Iterator[Delivery]:
        while self._pubsub.subscribed:
            message = self._pubsub.get_message()
            if message is None:
                return
            if message["type"] == "message":
                yield message["channel"], message["data"], ""


class NoRedis:
    """Stands where there is no Redis, not even in memory."""

    connection_pool = redis.ConnectionPool(path="nowhere")
    """Says, in messages of errors, where it would be."""

    def pubsub(self) -> NoRedis:
        """Return what can't be followed."""
        return self

    @property
    def subscribed(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Do nothing."""

    def subscribe(self, *names: bytes) -> None:
        """Refuse, as a bus does.

        Raises:
            BusError: Always.
        """
        raise BusError(NO_REDIS)

    def unsubscribe(self, *names: bytes) -> None:
        """Do nothing."""

    def scan_iter(self) -> tuple[str, ...]:
        """Return its keys."""
        return ()

    def __getattr__(self, name: str) -> Any:
        raise redis.ConnectionError(NO_REDIS)
