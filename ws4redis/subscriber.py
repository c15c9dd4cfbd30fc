"""Which channels a websocket joins: the class that ``WS4REDIS_SUBSCRIBER`` may replace.

A subclass may override any method. The loop calls overridden ones where they may block: in a thread
of its pool, or in a greenlet of a monkey-patched process, one at a time for each websocket. Where
nothing is overridden, the loop does the same work itself without leaving its hub.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ws4redis.conf import get_settings
from ws4redis.exceptions import BusError
from ws4redis.redis_store import SELF, RedisMessage, RedisStore


class Websocket(Protocol):
    """What a subscriber sees of a websocket."""

    def send(self, message: str | bytes, binary: bool | None = None) -> None:
        """Send a message; may be called from any thread."""


class SharedPubSub:
    """Stands in for redis-py's ``PubSub``: its channels are followed on the loop's one link."""

    def __init__(self) -> None:
        self.channels: dict[str, None] = {}

    def subscribe(self, *names: str | bytes) -> None:
        """Follow channels."""
        for name in names:
            self.channels[name.decode() if isinstance(name, bytes) else name] = None

    def unsubscribe(self, *names: str | bytes) -> None:
        """Follow channels no longer; without names, none at all."""
        for name in names or tuple(self.channels):
            self.channels.pop(name.decode() if isinstance(name, bytes) else name, None)

    def psubscribe(self, *patterns: str | bytes) -> None:
        """Refuse: the loop follows channels by their names.

        Raises:
            NotImplementedError: Always; names the way out.
        """
        raise NotImplementedError(
            f"Patterns can't be followed ({patterns!r}): subscribe to channels by their names."
        )

    def reset(self) -> None:
        """Follow nothing."""
        self.channels.clear()

    close = reset


class RedisSubscriber(RedisStore):
    """Decides which channels one websocket reads and writes, and what its messages lead to.

    Args:
        connection: A Redis client. Its ``pubsub()`` is followed on the loop's one link to Redis.
    """

    subscription_channels: Sequence[str] = (
        "subscribe-session",
        "subscribe-group",
        "subscribe-user",
        "subscribe-broadcast",
    )
    """Flags of an address that ask for a channel to read."""
    publish_channels: Sequence[str] = (
        "publish-session",
        "publish-group",
        "publish-user",
        "publish-broadcast",
    )
    """Flags of an address that ask for a channel to write."""

    announce: Callable[[bytes], object] | None = None
    """Is told each payload just before it is published; set by the loop."""
    retract: Callable[[bytes], object] | None = None
    """Is told each payload that could not be published; set by the loop."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self._subscription: Any = None

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The channels whose messages the websocket gets."""
        return tuple(getattr(self._subscription, "channels", ()))

    @property
    def publications(self) -> tuple[str, ...]:
        """The channels on which the websocket's messages are published."""
        return tuple(sorted(self._publishers))

    def set_pubsub_channels(self, request: Any, channels: Sequence[str]) -> None:
        """Set the channels that the websocket reads and writes.

        Args:
            request: The handshake's request, with ``session`` and ``user``.
            channels: The granted flags, such as ``'subscribe-broadcast'``.
        """
        facility = request.path_info.removeprefix(get_settings().websocket_url)
        self._subscription = self._connection.pubsub()
        if names := self._named("subscribe", request, facility, channels):
            self._subscription.subscribe(*names)
        self._publishers.update(self._named("publish", request, facility, channels))

    def send_persisted_messages(self, websocket: Websocket) -> None:
        """Send the last message of each channel; called when a websocket opens."""
        for channel in self.subscriptions:
            if message := self._connection.get(channel):
                websocket.send(RedisMessage(message))

    def send_persited_messages(self, websocket: Websocket) -> None:
        """Do the same under the name that earlier documents misspelt."""
        self.send_persisted_messages(websocket)

    def parse_response(self) -> Any:
        """Return the next answer of Redis. Overridden, it gets a thread and a link of its own."""
        return self._subscription.parse_response()

    def get_file_descriptor(self) -> int:
        """Return the descriptor to wait at. Overridden, it gets a thread and a link of its own."""
        descriptor: int = self._subscription.connection._sock.fileno()
        return descriptor

    def release(self) -> None:
        """Give up the subscriptions; called when a websocket has closed."""
        if self._subscription is not None:
            self._subscription.unsubscribe()
            self._subscription.reset()

    def _publish(self, payload: bytes, seconds: int, once: str = "") -> int:
        if self.announce is not None:
            self.announce(payload)
        try:
            return super()._publish(payload, seconds, once)
        except BusError:
            if self.retract is not None:
                self.retract(payload)
            raise

    def _named(
        self, action: str, request: Any, facility: str, channels: Sequence[str]
    ) -> Sequence[str]:
        """Return the names of the channels that the flags of one action ask for."""
        selves = {
            audience: [SELF] if f"{action}-{flag}" in channels else []
            for audience, flag in (("groups", "group"), ("users", "user"), ("sessions", "session"))
        }
        broadcast = f"{action}-broadcast" in channels
        names: Sequence[str] = self._get_message_channels(
            request=request, facility=facility, broadcast=broadcast, **selves
        )
        return names
