"""The one link of a process to Redis: subscribes, delivers, publishes, and says when it broke.

The link speaks RESP3, which allows ordinary commands on a subscribed connection. So it is totally
ordered: the answer to a ``GET`` that was sent after a ``SUBSCRIBE`` stands exactly between the
messages published before and after it. redis-py connects and authenticates; from then on two
greenlets own the socket, one that reads and one that writes. Everything else here runs on the hub
and does not block.
"""

from __future__ import annotations

import contextlib
import logging
import random
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

import gevent
import hiredis
from gevent.event import Event
from gevent.socket import wait_read, wait_write

from ws4redis.exceptions import BusError
from ws4redis.loop.handover import Delivery
from ws4redis.metrics import Metrics

logger = logging.getLogger(__name__)

READ_SIZE = 65536
OUTGOING_LIMIT = 8 * 2**20
"""Bytes of commands that may wait for a slow Redis."""
SUBSCRIBE_CHUNK = 1000
"""Channels named in one SUBSCRIBE command after a reconnect."""
CHECK_INTERVAL = 5.0
"""Seconds between two checks whether a silent Redis is still there."""
MIN_BACKOFF, MAX_BACKOFF = 0.05, 2.0
"""Seconds between two attempts to connect; the delay doubles and is drawn at random below it."""

PERSIST_AND_PUBLISH = (
    b"redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) "
    b"return redis.call('PUBLISH', KEYS[1], ARGV[1])"
)
"""Not a MULTI: before 7.2, Redis writes a message that the link itself gets into the middle of the
answer to EXEC, where no parser can tell them apart."""

_BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

Reply = Callable[[Any], None]
"""Gets the answer to one command: the parsed answer, or an exception."""


class _Pending:
    """An answer that is still to come; a command that names several channels has several."""

    __slots__ = ("count", "reply")

    def __init__(self, reply: Reply, count: int) -> None:
        self.reply = reply
        self.count = count


class Link(Protocol):
    """A connected, authenticated socket in non-blocking mode that speaks RESP3."""

    def recv(self, size: int, /) -> bytes: ...
    def send(self, data: memoryview, /) -> int: ...
    def fileno(self) -> int: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...


class Listener(Protocol):
    """Whom the bus tells what happens; all runs in the bus's greenlet."""

    def channels(self) -> Iterable[bytes]:
        """Return the channels to subscribe on a new link."""

    def on_connected(self) -> None:
        """The link is there, and all channels are subscribed before what is sent from here on."""

    def on_messages(self, deliveries: Sequence[Delivery]) -> None:
        """Messages arrived together, in this order."""

    def on_lost(self) -> None:
        """The link broke: what is published from here on until ``on_connected`` is missed."""


class Bus:
    """The one link of a process to Redis, which comes back by itself.

    Args:
        connect: Opens the link; may block as long as it lets the hub go on.
        listener: Is told what happens.
        metrics: Where events are counted.
    """

    def __init__(self, connect: Callable[[], Link], listener: Listener, metrics: Metrics) -> None:
        self._connect = connect
        self._listener = listener
        self._metrics = metrics
        self._pending: deque[_Pending] = deque()
        self._outgoing: list[bytes] = []
        self._outgoing_size = 0
        self._has_outgoing = Event()
        self._is_connected = Event()
        self._heard = True
        self.refused: set[bytes] = set()
        """Channels that Redis did not let us subscribe, by its access control lists."""
        self._greenlet: gevent.Greenlet | None = None

    @property
    def is_connected(self) -> bool:
        """Whether commands can be sent at present."""
        return bool(self._is_connected.is_set())

    def start(self) -> None:
        """Connect, and stay connected until ``stop()``."""
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Close the link for good."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def wait_connected(self, timeout: float | None) -> None:
        """Wait until commands can be sent.

        Args:
            timeout: Seconds; None waits as long as it takes.

        Raises:
            BusError: Redis is still away.
        """
        if not self._is_connected.wait(timeout):
            raise BusError("Redis is not reachable.")

    def subscribe(self, channel: bytes) -> None:
        """Receive the messages of a channel; while there is no link, the next one will."""
        if self.is_connected:
            self._subscribe([channel])

    def unsubscribe(self, channel: bytes) -> None:
        """Receive no messages of a channel any more."""
        if self.is_connected:
            self._send(b"UNSUBSCRIBE", channel)

    def get(self, key: bytes, reply: Reply) -> None:
        """Read a persisted message, in order with all that is published.

        Args:
            key: The name of the channel.
            reply: Gets the payload, None if there is none, or an exception.
        """
        if self.is_connected:
            self._send(b"GET", key, reply=reply)
        else:
            reply(BusError("Redis is not reachable."))

    def publish(self, channels: Iterable[bytes], payload: bytes, expire: int) -> bool:
        """Publish a message, and persist it first if it is to expire later than at once.

        Args:
            channels: The names of the channels.
            payload: The message.
            expire: Seconds for which it is persisted; 0 for not at all.

        Returns:
            Whether it was sent; if not, ``on_connected`` will tell when to try again.
        """
        if not self.is_connected or self._outgoing_size > OUTGOING_LIMIT:
            return False
        for channel in channels:
            if expire > 0:
                self._send(b"EVAL", PERSIST_AND_PUBLISH, b"1", channel, payload, b"%d" % expire)
            else:
                self._send(b"PUBLISH", channel, payload)
        return True

    def _send(self, *command: bytes, reply: Reply | None = None, answers: int = 1) -> None:
        data = hiredis.pack_command(command)
        self._outgoing.append(data)
        self._outgoing_size += len(data)
        self._has_outgoing.set()
        self._pending.append(_Pending(reply or _log_error, answers))

    def _run(self) -> None:
        failures = 0
        while True:
            try:
                link = self._connect()
            except BusError as error:
                (logger.debug if failures else logger.error)("%s Trying again.", error)
                failures += 1
            except Exception:
                logger.exception("No link to Redis can be opened; trying again.")
                failures += 1
            else:
                if failures:
                    logger.warning("Redis is back.")
                self._serve(link)
                failures = 1
            gevent.sleep(_backoff(failures))

    def _serve(self, link: Link) -> None:
        """Use a link until it breaks."""
        self._heard = True
        self._is_connected.set()
        self._metrics.event("bus.restored")
        companions = [gevent.spawn(self._write, link), gevent.spawn(self._check, link)]
        try:
            self._resubscribe(list(self._listener.channels()))
            self._listener.on_connected()
            self._read(link)
        except (OSError, hiredis.HiredisError) as error:
            logger.error("The link to Redis broke (%s); connecting again.", error)
        except Exception:
            # Without this greenlet the process would hold websockets and deliver nothing.
            logger.exception("The link to Redis failed; connecting again.")
        finally:
            gevent.killall(companions)
            self._disconnect(link)
            self._metrics.event("bus.lost")
            self._listener.on_lost()

    def _resubscribe(self, channels: list[bytes]) -> None:
        for start in range(0, len(channels), SUBSCRIBE_CHUNK):
            self._subscribe(channels[start : start + SUBSCRIBE_CHUNK])

    def _subscribe(self, channels: list[bytes]) -> None:
        reply = partial(self._subscribed, channels)
        self._send(b"SUBSCRIBE", *channels, reply=reply, answers=len(channels))

    def _subscribed(self, channels: list[bytes], answer: Any) -> None:
        _log_error(answer)
        if isinstance(answer, hiredis.ReplyError):
            self.refused.update(channels)
        else:
            self.refused.difference_update(channels)

    def _read(self, link: Link) -> None:
        """Hand over what arrives: all that is there at once, then let the hub go on."""
        reader = hiredis.Reader(notEnoughData=Ellipsis)
        while True:
            try:
                data = link.recv(READ_SIZE)
            except _BLOCKED:
                wait_read(link.fileno())
                continue
            if not data:
                raise ConnectionResetError("closed by the other side")
            self._heard = True
            reader.feed(data)
            self._drain(reader)
            if len(data) == READ_SIZE:
                gevent.sleep(0)

    def _drain(self, reader: hiredis.Reader) -> None:
        """Take every complete answer: one that stays in the buffer wakes nobody up."""
        deliveries: list[Delivery] = []
        while (answer := reader.gets()) is not Ellipsis:
            if isinstance(answer, hiredis.PushNotification) and answer[0] == b"message":
                deliveries.append((answer[1], answer[2]))
            else:
                self._dispatch(deliveries)
                self._answer(answer)
        self._dispatch(deliveries)

    def _dispatch(self, deliveries: list[Delivery]) -> None:
        if deliveries:
            self._listener.on_messages(tuple(deliveries))
            deliveries.clear()

    def _answer(self, answer: Any) -> None:
        """Match an answer with its command; both come in the same order.

        An acknowledged SUBSCRIBE answers once for each channel, a refused one only once.
        """
        pending = self._pending[0]
        pending.count -= 1
        if pending.count == 0 or isinstance(answer, Exception):
            self._pending.popleft()
            pending.reply(answer)

    def _write(self, link: Link) -> None:
        while True:
            self._has_outgoing.wait()
            data = self._take_outgoing()
            try:
                _send_all(link, data)
            except OSError as error:
                logger.debug("Writing to Redis failed: %s", error)
                _shut(link)
                return

    def _take_outgoing(self) -> bytes:
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        self._outgoing_size = 0
        self._has_outgoing.clear()
        return data

    def _check(self, link: Link) -> None:
        """Notice a Redis that went away without a word."""
        while self._heard:
            self._heard = False
            self._send(b"PING")
            gevent.sleep(CHECK_INTERVAL)
        logger.error("Redis did not answer for %.0f s.", CHECK_INTERVAL)
        _shut(link)

    def _disconnect(self, link: Link) -> None:
        self._is_connected.clear()
        self._take_outgoing()
        link.close()
        pendings, self._pending = self._pending, deque()
        for pending in pendings:
            pending.reply(BusError("The link to Redis broke."))


def _log_error(answer: Any) -> None:
    if isinstance(answer, hiredis.ReplyError):
        logger.error("Redis refused a command: %s", answer)


def _backoff(failures: int) -> float:
    # Full jitter, so that many processes do not come back in step. Within half an hour the number
    # of failures would be too large an exponent for a float.
    return random.uniform(0, min(MAX_BACKOFF, MIN_BACKOFF * 2 ** min(failures, 16)))


def _send_all(link: Link, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[link.send(view) :]
        except _BLOCKED:
            wait_write(link.fileno())


def _shut(link: Link) -> None:
    """End a link so that its reader wakes up."""
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
