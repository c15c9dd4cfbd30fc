"""Calls the overridden methods of a site's own subscriber where they can't hold up the hub."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
import redis

from ws4redis import flood
from ws4redis.exceptions import BusError
from ws4redis.loop.facility import Facility
from ws4redis.loop.runner import Runner
from ws4redis.redis_store import RedisMessage
from ws4redis.subscriber import RedisSubscriber
from ws4redis.wire.close import CloseCode
from ws4redis.wire.outgoing import Outgoing

logger = flood.clients.guard(logging.getLogger(__name__))

QUEUE_LIMIT = 32
"""Messages of one client that may wait for its hook before nothing more is read from it."""

OWN_SOURCE_LIMIT = 100
"""Websockets of a process whose subscribers may read from sources of their own."""

Framed = Callable[..., Any]
"""Calls a function with arguments, with Django's care for its database connections around it."""


def overrides(own: type[RedisSubscriber], *names: str) -> bool:
    """Return whether a site's subscriber class has own versions of any of the methods."""
    return any(getattr(own, name) is not getattr(RedisSubscriber, name) for name in names)


def has_own_source(own: type[RedisSubscriber]) -> bool:
    """Return whether a site's subscriber class reads by itself, and so needs its own thread."""
    return overrides(own, "parse_response", "get_file_descriptor")


class HookedWebsocket:
    """What ``send_persisted_messages`` gets: collects before the websocket opens, then sends."""

    def __init__(self, facility: Facility, runner: Runner) -> None:
        self._facility = facility
        self._runner = runner

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._facility.is_closed

    def send(self, message: str | bytes, binary: bool | None = None) -> None:
        """Send a message; may be called from any thread."""
        # Waits, so that what is sent before the websocket opens is there when it does.
        self._runner.call(self._send, RedisMessage(message), binary)

    def close(self, code: int) -> None:
        """Close the websocket; may be called from any thread."""
        self._runner.call(self._close, code)

    def _close(self, code: int) -> None:
        if self._facility.connection is not None:
            self._facility.connection.close(code)

    def _send(self, payload: bytes, binary: bool | None) -> None:
        facility = self._facility
        message = Outgoing(payload, facility=facility.membership.name)
        if facility.connection is None:
            facility.handover.insert(message)
        elif not facility.is_closed:
            encoding = facility.encoding._replace(binary=bool(binary))
            facility.connection.send(message.frame(encoding))


class HookPublisher:
    """Hands a client's messages to its subscriber, one at a time and in order.

    Args:
        subscriber: The site's own.
        runner: The loop.
        framed: How to call hooks.
        publishes: Whether the subscriber's ``publish_message`` is to be called.
    """

    def __init__(
        self, subscriber: RedisSubscriber, runner: Runner, framed: Framed, *, publishes: bool
    ) -> None:
        self._subscriber = subscriber
        self._runner = runner
        self._framed = framed
        self._publishes = publishes
        self._waiting: deque[bytes] = deque()
        self._is_busy = False
        self._is_released = False

    def publish(self, facility: Facility, payload: bytes) -> None:
        """Queue one message for the subscriber; a full queue stops reading from the client."""
        if not self._publishes:
            self._runner.uplink.publish(facility, payload)
            return
        self._runner.metrics.event("messages.received")
        self._waiting.append(payload)
        if len(self._waiting) > QUEUE_LIMIT and facility.connection is not None:
            facility.connection.pause(self)
        self._start(facility)

    def release(self, facility: Facility) -> None:
        """Tell the subscriber that its websocket is gone, after its last message."""
        self._is_released = True
        self._start(facility)

    def _start(self, facility: Facility) -> None:
        if not self._is_busy:
            self._is_busy = True
            gevent.spawn(self._work, facility)

    def _work(self, facility: Facility) -> None:
        while self._waiting:
            payload = RedisMessage(self._waiting.popleft())
            self._subscriber.announce = partial(self._runner.call, facility.expect_return)
            self._subscriber.retract = partial(self._runner.call, facility.retract)
            self._call(partial(self._subscriber.publish_message, payload))
            if facility.connection is not None:
                facility.connection.resume(self)
        self._is_busy = False
        if self._is_released:
            self._call(self._subscriber.release)

    def _call(self, hook: Callable[[], Any]) -> None:
        try:
            self._runner.offload(self._framed, hook)
        except BusError as error:
            # No bug of the site: one line is enough for each message during an outage.
            self._runner.metrics.event("hooks.failed")
            logger.error("%s failed: %s", type(self._subscriber).__qualname__, error)
        except Exception:
            self._runner.metrics.event("hooks.failed")
            logger.exception("%s failed", type(self._subscriber).__qualname__)


class OwnSource:
    """Runs a subscriber that reads from a source of its own, in a thread of its own.

    Args:
        subscriber: Overrides ``parse_response`` or ``get_file_descriptor``.
        facility: The websocket that gets what the subscriber reads.
        runner: The loop.

    Raises:
        BusError: Too many of them are open.
    """

    running = 0
    """Such threads in this process."""

    def __init__(self, subscriber: RedisSubscriber, facility: Facility, runner: Runner) -> None:
        if OwnSource.running >= OWN_SOURCE_LIMIT:
            raise BusError(f"{OWN_SOURCE_LIMIT} websockets with sources of their own are open.")
        self._subscriber = subscriber
        self._websocket = HookedWebsocket(facility, runner)

    def start(self) -> None:
        """Begin to read; the websocket is open."""
        OwnSource.running += 1
        threading.Thread(target=self._run, name="ws4redis-source", daemon=True).start()

    def _run(self) -> None:
        try:
            while not self._websocket.closed:
                self._forward_one()
        except redis.RedisError as error:
            name = type(self._subscriber).__qualname__
            logger.error("%s lost its own connection to Redis: %s", name, error)
            self._websocket.close(CloseCode.INTERNAL_ERROR)
        except Exception:
            logger.exception("%s.parse_response failed", type(self._subscriber).__qualname__)
            self._websocket.close(CloseCode.INTERNAL_ERROR)
        finally:
            OwnSource.running -= 1
            self._release()

    def _release(self) -> None:
        try:
            self._subscriber.release()
        except redis.RedisError as error:
            # Its connection is lost, and with it what was to be given up.
            logger.debug("%s.release: %s", type(self._subscriber).__qualname__, error)
        except Exception:
            logger.exception("%s.release failed", type(self._subscriber).__qualname__)

    def _forward_one(self) -> None:
        try:
            answer = self._subscriber.parse_response()
        except redis.TimeoutError:
            return
        if isinstance(answer, (list, tuple)) and answer[0] in (b"message", "message"):
            self._websocket.send(answer[2])
