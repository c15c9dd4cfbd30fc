"""The channels that a handler follows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import Any

from ws4redis.exceptions import ConnectionClosed
from ws4redis.views.handlers.driving import Done
from ws4redis.views.handlers.socket import HandlerSocket
from ws4redis.views.socket import Data

logger = logging.getLogger(__name__)

Callback = Callable[[str, Data], Any]
"""Called with the name of a channel and a message; what is false ends the reader."""


class ChannelReader:
    """Hands the messages of one channel to a callback.

    Behind ``yield from``, it is waited for: until it stops, or the websocket has ended.

    Args:
        name: The whole name of the channel in Redis.
        manager: Belongs to the handler.
    """

    def __init__(self, name: str, manager: SubscriptionManager) -> None:
        self.name = name
        self.manager = manager
        self._callback: Callback | None = None

    @property
    def is_active(self) -> bool:
        """Whether it is listening."""
        return self.manager.readers.get(self.name) is self

    def callback(self, function: Callback) -> ChannelReader:
        """Take the function that is called; return this, so that it may be a decorator.

        Raises:
            TypeError: It can't be called.
        """
        if not callable(function):
            raise TypeError(f"A callback of {self.name!r} must be a function, got {function!r}.")
        self._callback = function
        return self

    __call__ = callback

    def listen(self) -> Done[ChannelReader]:
        """Begin; the channel is live when this returns.

        Raises:
            BusError: Redis is away.
            TypeError: It has no callback.
        """
        if self._callback is None:
            raise TypeError(f"The reader of {self.name!r} needs a callback before it listens.")
        self.manager.add(self)
        return Done(self)

    def wait(self) -> None:
        """Wait until it stops, or the websocket has ended."""
        self.manager.websocket.wait_until(lambda: not self.is_active)

    def __iter__(self) -> Generator[Any, None, None]:
        self.wait()
        yield from ()

    def deliver(self, message: Data) -> None:
        """Call the callback with a message."""
        if self._callback is not None and not self._callback(self.name, message):
            self.manager.remove(self)


class SubscriptionManager:
    """Subscribes and stops channels while a handler runs.

    Callbacks are called where the handler waits, such as in ``ws.receive()``, one after the other.

    Args:
        websocket: That of the handler.
    """

    def __init__(self, websocket: HandlerSocket) -> None:
        self.websocket = websocket
        self.websocket.on_event = self._deliver
        self.readers: dict[str, ChannelReader] = {}
        """Those that listen, by their channels."""

    def reader(self, name: str) -> ChannelReader:
        """Return a reader of a channel that does not listen yet."""
        return ChannelReader(name, self)

    def subscribe(self, name: str, callback: Callback) -> ChannelReader:
        """Begin to read a channel; it is live when this returns.

        Args:
            name: Its whole name in Redis. One that reads it already is replaced.
            callback: Called with ``(name, message)``; what is false ends the reader.

        Raises:
            BusError: Redis is away.
            TypeError: The callback can't be called.
        """
        reader = self.reader(name).callback(callback)
        reader.listen()
        return reader

    def add(self, *readers: ChannelReader) -> None:
        """Let readers listen.

        Raises:
            BusError: Redis is away.
        """
        self.websocket.websocket.subscribe(*(reader.name for reader in readers))
        self.readers.update({reader.name: reader for reader in readers})

    def remove(self, reader: ChannelReader | str) -> Done[None]:
        """Stop a reader, told by itself or by its channel; not even what waits is handed to it.

        Nothing happens if it does not listen.
        """
        name = reader if isinstance(reader, str) else reader.name
        known = self.readers.get(name)
        if known is not None and reader in (name, known):
            del self.readers[name]
            if not self.websocket.closed:
                self.websocket.websocket.unsubscribe(name)
        return Done(None)

    def stop(self) -> Done[None]:
        """Stop all readers."""
        for name in tuple(self.readers):
            self.remove(name)
        return Done(None)

    def _deliver(self, name: str, message: Data) -> None:
        # What has come before a channel was left may still be waiting.
        reader = self.readers.get(name)
        if reader is None:
            return
        try:
            reader.deliver(message)
        except ConnectionClosed:
            self.remove(reader)
        except Exception:
            logger.exception("A callback of the channel %r failed", name)
