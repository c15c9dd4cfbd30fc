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
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

import gevent
import hiredis
from gevent.event import Event
from gevent.socket import wait_read, wait_write

from ws4redis.exceptions import BusError
from ws4redis.history import NONE, Call, Histories
from ws4redis.loop.backoff import Backoff
from ws4redis.loop.giveway import give_way
from ws4redis.loop.notices import Notices
from ws4redis.metrics import Metrics

logger = logging.getLogger(__name__)

READ_SIZE = 65536
OUTGOING_LIMIT = 8 * 2**20
"""Bytes of commands that may wait for a slow Redis."""
SUBSCRIBE_CHUNK = 1000
"""Channels named in one SUBSCRIBE command after a reconnect."""
CHECK_INTERVAL = 2.5
"""Seconds between two checks whether Redis is still there."""
CHECKS_MISSED = 2
"""Checks in a row without an answer after which the link is given up. One is not enough: after a
hook that held the hub up, the check may come before what has long arrived was read."""
REASONS_LIMIT = 5
"""Reasons that the log names for one outage."""
NOTICE_INTERVAL = 60.0
"""Seconds between two lines that tell of the same refusal."""

PERSIST_AND_PUBLISH = (
    b"redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) "
    b"return redis.call('PUBLISH', KEYS[1], ARGV[1])"
)
"""Not a MULTI: before 7.2, Redis writes a message that the link itself gets into the middle of the
answer to EXEC, where no parser can tell them apart."""

_BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

Delivery = tuple[bytes, bytes, str]
"""A channel, a payload, and where the channel is with it; empty if it has no history."""

Reply = Callable[[Any], None]
"""Gets the answer to one command: the parsed answer, or an exception."""


class _Pending:
    """An answer that is still to come; a command that names several channels has several.

    The answers to commands about channels are pushes, all others are not.
    """

    __slots__ = ("count", "is_push", "reply")

    def __init__(self, reply: Reply, count: int, is_push: bool) -> None:
        self.reply = reply
        self.count = count
        self.is_push = is_push


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

    def on_lost(self, epoch: int) -> None:
        """The link broke: what is published from here on until ``on_connected`` is missed.

        Args:
            epoch: How often that has happened; it comes once with each number.
        """


class Bus:
    """The one link of a process to Redis, which comes back by itself.

    Args:
        connect: Opens the link; may block as long as it lets the hub go on.
        listener: Is told what happens.
        metrics: Where events are counted.
        histories: The channels that have one.
    """

    def __init__(
        self,
        connect: Callable[[], Link],
        listener: Listener,
        metrics: Metrics,
        histories: Histories = NONE,
    ) -> None:
        self._connect = connect
        self._listener = listener
        self._metrics = metrics
        self._histories = histories
        self._pending: deque[_Pending] = deque()
        self._outgoing: list[bytes] = []
        self._outgoing_size = 0
        self._has_outgoing = Event()
        self._is_connected = Event()
        self.heard = 0
        """How many answers and messages came."""
        self._scripts: set[str] = set()
        """Those that Redis knows, as they were sent on this link."""
        self._is_dispatching = False
        self._fault = ""
        self._lost_at = 0.0
        self._reasons: set[str] = set()
        self._notices = Notices(NOTICE_INTERVAL)
        self.epoch = 0
        """How often the link was lost."""
        self.refused: set[bytes] = set()
        """Channels that Redis did not let us subscribe, by its access control lists."""
        self._greenlet: gevent.Greenlet | None = None

    @property
    def is_connected(self) -> bool:
        """Whether commands can be sent at present."""
        return bool(self._is_connected.is_set())

    def start(self) -> None:
        """Connect, and stay connected until ``stop()``."""
        self._lost_at = time.monotonic()
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Close the link for good."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def wait_connected(self, timeout: float | None) -> None:
        """Wait until commands can be sent.

        Args:
            timeout: Seconds since the link was lost, so that nobody waits once it is known to be
                away; None waits as long as it takes.

        Raises:
            BusError: Redis is still away.
        """
        if timeout is not None:
            timeout = max(0.0, self._lost_at + timeout - time.monotonic())
        if not self._is_connected.wait(timeout):
            raise BusError("Redis is not reachable.")

    def subscribe(self, channel: bytes) -> None:
        """Receive the messages of a channel; while there is no link, the next one will."""
        if self.is_connected:
            self._subscribe([channel])

    def unsubscribe(self, channel: bytes) -> None:
        """Receive no messages of a channel any more."""
        # Clients choose the names, and so could make it grow.
        self.refused.discard(channel)
        if self.is_connected:
            self._send(b"UNSUBSCRIBE", channel, is_push=True)

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

    def ping(self, reply: Reply) -> None:
        """Find out when Redis has done all that it was asked before.

        Args:
            reply: Gets the answer, or an exception.
        """
        self._send(b"PING", reply=reply)

    def run(self, call: Call, reply: Reply) -> None:
        """Run a script, in order with all that is published.

        Args:
            call: The script and its arguments.
            reply: Gets the answer, or an exception.
        """
        if not self.is_connected:
            reply(BusError("Redis is not reachable."))
            return
        arguments = (len(call.keys), *call.keys, *call.arguments)

        def answered(answer: Any) -> None:
            if isinstance(answer, hiredis.ReplyError) and str(answer).startswith("NOSCRIPT"):
                self._send("EVAL", call.script.source, *arguments, reply=reply)
            else:
                reply(answer)

        if call.script.sha in self._scripts:
            self._send("EVALSHA", call.script.sha, *arguments, reply=answered)
        else:
            # Were it refused, those that are sent meanwhile would overtake it.
            self._scripts.add(call.script.sha)
            self._send("EVAL", call.script.source, *arguments, reply=reply)

    def publish(
        self,
        channels: Iterable[bytes],
        payload: bytes,
        expire: int,
        refused: Callable[[bytes], None] = lambda channel: None,
    ) -> bool:
        """Publish a message, and persist it first if it is to expire later than at once.

        Args:
            channels: The names of the channels.
            payload: The message.
            expire: Seconds for which it is persisted; 0 for not at all.
            refused: Called with each channel on which Redis did not publish it.

        Returns:
            Whether it was sent; if not, ``on_connected`` will tell when to try again.
        """
        if not self.is_connected or self._outgoing_size > OUTGOING_LIMIT:
            return False
        for channel in channels:
            reply = partial(self._published, refused, channel)
            if (call := self._kept(channel, payload, expire)) is not None:
                self.run(call, reply)
            elif expire > 0:
                persist = (b"1", channel, payload, b"%d" % expire)
                self._send(b"EVAL", PERSIST_AND_PUBLISH, *persist, reply=reply)
            else:
                self._send(b"PUBLISH", channel, payload, reply=reply)
        return True

    def _kept(self, channel: bytes, payload: bytes, expire: int) -> Call | None:
        """Return what publishes a message on a channel with a history; None if it has none."""
        if not self._histories:
            return None
        name = channel.decode()
        retention = self._histories.retention(name)
        if retention is None:
            return None
        return self._histories.publish(name, retention, payload, expire)

    def _send(
        self,
        *command: bytes | str | int,
        reply: Reply | None = None,
        answers: int = 1,
        is_push: bool = False,
    ) -> None:
        data = hiredis.pack_command(command)
        self._outgoing.append(data)
        self._outgoing_size += len(data)
        self._has_outgoing.set()
        self._pending.append(_Pending(reply or self._report, answers, is_push))

    def _published(self, refused: Callable[[bytes], None], channel: bytes, answer: Any) -> None:
        self._report(answer)
        if isinstance(answer, hiredis.ReplyError):
            refused(channel)

    def _report(self, answer: Any) -> None:
        """Log a refusal, but not each one: every message of every client may lead to one."""
        if not isinstance(answer, hiredis.ReplyError):
            return
        held = self._notices.held(str(answer).partition(" ")[0])
        if held is not None:
            logger.error("Redis refused a command: %s (%d more before)", answer, held)

    def _run(self) -> None:
        backoff = Backoff()
        while True:
            link = self._open()
            if link is None:
                gevent.sleep(backoff.failed())
                continue
            opened = time.monotonic()
            self._serve(link)
            self._lost_at = time.monotonic()
            gevent.sleep(backoff.failed(self._lost_at - opened))

    def _open(self) -> Link | None:
        """Try once to connect; None if that failed."""
        try:
            link = self._connect()
        except BusError as error:
            self._tell_reason(str(error))
        except Exception:
            # A bug: no link that is bad in any way leads here.
            logger.exception("No link to Redis can be opened; trying again.")
            self._reasons.add("")
        else:
            if self._reasons or self.epoch:
                logger.warning("Redis is back after %.1f s.", time.monotonic() - self._lost_at)
            self._reasons.clear()
            return link
        return None

    def _tell_reason(self, reason: str) -> None:
        """Log why Redis stays away: each reason once, as another one may follow the first."""
        is_new = reason not in self._reasons and len(self._reasons) < REASONS_LIMIT
        (logger.error if is_new else logger.debug)("%s Trying again.", reason)
        if is_new:
            self._reasons.add(reason)

    def _serve(self, link: Link) -> None:
        """Use a link until it breaks."""
        self._is_dispatching = False
        self._fault = ""
        self._scripts.clear()
        self.refused.clear()
        self._is_connected.set()
        self._metrics.event("bus.restored")
        companions = [gevent.spawn(self._write, link), gevent.spawn(self._check, link)]
        try:
            self._resubscribe(list(self._listener.channels()))
            self._listener.on_connected()
            self._read(link)
        except (OSError, hiredis.HiredisError) as error:
            logger.error("The link to Redis broke (%s); connecting again.", self._fault or error)
        except Exception:
            # Without this greenlet the process would hold websockets and deliver nothing.
            logger.exception("The link to Redis failed; connecting again.")
        finally:
            gevent.killall(companions)
            self._disconnect(link)
            self._metrics.event("bus.lost")
            self.epoch += 1
            self._listener.on_lost(self.epoch)

    def _resubscribe(self, channels: list[bytes]) -> None:
        for start in range(0, len(channels), SUBSCRIBE_CHUNK):
            self._subscribe(channels[start : start + SUBSCRIBE_CHUNK])

    def _subscribe(self, channels: list[bytes]) -> None:
        reply = partial(self._subscribed, channels)
        self._send(b"SUBSCRIBE", *channels, reply=reply, answers=len(channels), is_push=True)

    def _subscribed(self, channels: list[bytes], answer: Any) -> None:
        if not isinstance(answer, hiredis.ReplyError):
            self.refused.difference_update(channels)
            return
        self._report(answer)
        self.refused.update(channels)
        if len(channels) > 1:
            # One channel that is forbidden makes Redis refuse all that the command names.
            self._ask_again(channels)

    def _ask_again(self, channels: Iterable[bytes]) -> None:
        for channel in channels:
            self._subscribe([channel])

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
            reader.feed(data)
            self._drain(reader)
            if len(data) == READ_SIZE:
                give_way()

    def _drain(self, reader: hiredis.Reader) -> None:
        """Take every complete answer: one that stays in the buffer wakes nobody up."""
        deliveries: list[Delivery] = []
        while (answer := reader.gets()) is not Ellipsis:
            # Bytes that never become an answer are no sign of life.
            self.heard += 1
            if isinstance(answer, hiredis.PushNotification) and answer[0] == b"message":
                deliveries.append((answer[1], answer[2], ""))
            else:
                self._dispatch(deliveries)
                self._answer(answer)
        self._dispatch(deliveries)

    def _dispatch(self, deliveries: list[Delivery]) -> None:
        if deliveries:
            self._is_dispatching = True
            self._listener.on_messages(tuple(deliveries))
            self._is_dispatching = False
            deliveries.clear()

    def _answer(self, answer: Any) -> None:
        """Match an answer with its command; both come in the same order.

        An acknowledged SUBSCRIBE answers once for each channel, a refused one only once.
        """
        if not self._pending:
            raise hiredis.ProtocolError("Redis said what nobody asked for")
        pending = self._pending[0]
        is_push = isinstance(answer, hiredis.PushNotification)
        is_refusal = isinstance(answer, hiredis.ReplyError)
        if is_push is not pending.is_push and not is_refusal:
            raise hiredis.ProtocolError("Redis gave an answer of another kind than asked for")
        pending.count -= 1
        if pending.count == 0 or is_refusal:
            self._pending.popleft()
            _tell(pending.reply, answer)

    def _write(self, link: Link) -> None:
        while True:
            self._has_outgoing.wait()
            data = self._take_outgoing()
            try:
                _send_all(link, data)
            except OSError as error:
                self._break(link, str(error))
                return

    def _take_outgoing(self) -> bytes:
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        self._outgoing_size = 0
        self._has_outgoing.clear()
        return data

    def _check(self, link: Link) -> None:
        """Notice a Redis that went away without a word."""
        missed = 0
        while missed < CHECKS_MISSED:
            heard = self.heard
            self._send(b"PING")
            # What nobody wants any more is forgotten; the rest may be allowed by now.
            self.refused.intersection_update(self._listener.channels())
            self._ask_again(self.refused)
            gevent.sleep(CHECK_INTERVAL)
            # While messages are handed over, nothing is read: then silence says nothing.
            missed = 0 if self.heard != heard or self._is_dispatching else missed + 1
        self._break(link, f"Redis did not answer for {CHECK_INTERVAL * CHECKS_MISSED:g} s")

    def _break(self, link: Link, fault: str) -> None:
        """End a link so that its reader wakes up, and knows why."""
        self._fault = fault
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)

    def _disconnect(self, link: Link) -> None:
        self._is_connected.clear()
        self._take_outgoing()
        link.close()
        pendings, self._pending = self._pending, deque()
        for pending in pendings:
            _tell(pending.reply, BusError("The link to Redis broke."))


def _tell(reply: Reply, answer: Any) -> None:
    """Hand an answer over; who can't bear it must not cost all others the link."""
    try:
        reply(answer)
    except Exception:
        logger.exception("An answer of Redis could not be used")


def _send_all(link: Link, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[link.send(view) :]
        except _BLOCKED:
            wait_write(link.fileno())
