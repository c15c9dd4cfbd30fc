"""What a view's websocket is connected with: the loop of this process."""

from __future__ import annotations

from ws4redis.exceptions import BusError
from ws4redis.loop.pull import Pull
from ws4redis.loop.runner import Runner
from ws4redis.redis_store import RedisStore
from ws4redis.wire.outgoing import Encoding


class LoopLine(Pull):
    """One open websocket, and the channels it follows.

    Args:
        runner: The loop.
        encoding: The form in which the client wants its messages.
    """

    __slots__ = ("_followed", "_runner")

    def __init__(self, runner: Runner, encoding: Encoding) -> None:
        super().__init__(runner, encoding, runner.options.outbox_size)
        self._runner = runner
        self._followed: set[bytes] = set()

    def subscribe(self, channels: tuple[str, ...]) -> None:
        """Follow channels; they are live when this returns."""
        names = [channel.encode() for channel in channels]
        self._runner.call(self._subscribe, names)

    def unsubscribe(self, channels: tuple[str, ...]) -> None:
        """Follow channels no more."""
        self._runner.call(self._leave, {channel.encode() for channel in channels})

    def publish(self, channel: str, payload: bytes) -> int:
        """Publish a message on one channel."""
        store = _Store()
        store.address(channel)
        return store.publish_message(payload, expire=0) or 0

    def on_close(self, code: int, reason: str) -> None:
        """Leave all channels, and tell the view."""
        self._leave(set(self._followed))
        super().on_close(code, reason)

    def _subscribe(self, names: list[bytes]) -> None:
        if self.is_closed:
            return
        new = [name for name in names if name not in self._followed]
        self._followed.update(new)
        try:
            self._runner.follow(self, new)
        except BaseException as error:
            self._followed.difference_update(new)
            if not (isinstance(error, BusError) and self.close_code is not None):
                raise
        finally:
            # They were left meanwhile, perhaps before they were joined.
            for name in set(new) - self._followed:
                self._runner.dispatcher.leave(name, self)

    def _leave(self, names: set[bytes]) -> None:
        for name in names & self._followed:
            self._followed.discard(name)
            self._runner.dispatcher.leave(name, self)


class _Store(RedisStore):
    """Publishes on channels by their whole names."""

    def address(self, channel: str) -> None:
        """Publish on this channel."""
        self._publishers.add(channel)
