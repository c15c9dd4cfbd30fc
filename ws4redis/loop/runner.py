"""The websocket loop of one process: its hub, what runs on it, and the ways in from elsewhere.

Under a gevent server the loop lives on the server's hub. In any other process it has a daemon
thread with a hub of its own. All parts of the loop run on that hub only; ``call`` gets there from
any thread, and ``offload`` runs code that may block where it can't hold the hub up: in a thread of
a pool, or, where the process is monkey-patched, in the calling greenlet. (In a patched process
threads of a pool can't be used: code in them would switch to greenlets of another thread.)
"""

from __future__ import annotations

import concurrent.futures
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import gevent
import gevent.event
import gevent.hub
import gevent.monkey
import gevent.threadpool

from ws4redis import flood
from ws4redis.channels import without_secrets
from ws4redis.exceptions import BusError, HookTimeout
from ws4redis.history import Position
from ws4redis.loop.admission import Identity, Place
from ws4redis.loop.bus import Bus, Delivery, Link
from ws4redis.loop.connection import Connection, Handler
from ws4redis.loop.dispatcher import Dispatcher, Receiver
from ws4redis.loop.drain import drain
from ws4redis.loop.facility import Facility, Membership, Publisher
from ws4redis.loop.fanout import Fanout
from ws4redis.loop.feed import Feed
from ws4redis.loop.giveway import give_way
from ws4redis.loop.joining import Start
from ws4redis.loop.options import Options
from ws4redis.loop.pull import Signal
from ws4redis.loop.rate import Rates
from ws4redis.loop.recovery import Recovery
from ws4redis.loop.registry import TICK, Registry
from ws4redis.loop.signal import GreenSignal
from ws4redis.loop.sweep import Judge, Sweep
from ws4redis.loop.uplink import Uplink
from ws4redis.metrics import Metrics
from ws4redis.wire.close import CloseCode
from ws4redis.wire.outgoing import EVENTS

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

CUT_OFF = "The process ends, and with it %d views that have not ended (WS4REDIS_DRAIN_TIME)"
OWN_THREADS = 2
"""One connects to Redis, one finds out who may keep a websocket."""

_get_ident = gevent.monkey.get_original("_thread", "get_ident")


class Runner:
    """Holds the websockets of this process.

    Args:
        options: What the websockets share.
        connect: Opens the link to Redis; may block.
        judge: Decides which open websockets may stay; may block.
        metrics: Where events are counted.
    """

    def __init__(
        self, options: Options, connect: Callable[[], Link], judge: Judge, metrics: Metrics
    ) -> None:
        self.options = options
        self.metrics = metrics
        self.bus = Bus(lambda: self._offload_own(connect), self, metrics, options.histories)
        self.recovery = Recovery(self.bus, options.histories, lambda: self.dispatcher, metrics)
        self._fanout = Fanout(pause=give_way, spawn=gevent.spawn)
        self.dispatcher = Dispatcher(
            self.recovery.follow, self.recovery.forget, self._fanout, metrics, options.shown
        )
        self.uplink = Uplink(self.bus, options.expire, metrics)
        self.registry: Registry
        self.sweep: Sweep
        self._judge = judge
        self.is_draining = False
        """Whether this process is about to end, and takes no websockets any more."""
        self._is_patched = gevent.monkey.is_module_patched("socket")
        self._calls: set[concurrent.futures.Future[Any]] = set()
        """Those of other threads that wait."""
        self.tasks: set[object] = set()
        """Code of the site that runs beside the loop, such as views; waited for at the end."""
        self._is_gone = False
        """Whether the loop's own thread has ended."""

    def start(self, *, own_thread: bool) -> None:
        """Begin, on the hub of the calling thread or in a daemon thread."""
        if not own_thread:
            self._begin()
            return
        ready = threading.Event()
        threading.Thread(
            target=self._run_thread, args=(ready,), name="ws4redis-loop", daemon=True
        ).start()
        ready.wait()

    def stop(self, code: int = CloseCode.GOING_AWAY) -> None:
        """Close all websockets, spread over the drain time, and leave Redis; once is enough."""
        if not self._stopped.is_set():
            self.call(self._stop, code)

    @property
    def is_here(self) -> bool:
        """Whether the caller is on the hub."""
        return bool(_get_ident() == self._thread)

    @property
    def is_patched(self) -> bool:
        """Whether this process is monkey-patched, so that code that may block runs in greenlets."""
        return bool(self._is_patched)

    def call(self, function: Callable[..., Result], *args: Any) -> Result:
        """Run something on the hub and return its result; may be called from any thread.

        Raises:
            BusError: The loop has stopped.
        """
        if self._stopped.is_set():
            raise _has_stopped()
        if _get_ident() == self._thread:
            return function(*args)
        future: concurrent.futures.Future[Result] = concurrent.futures.Future()
        self._calls.add(future)
        try:
            self._hub.loop.run_callback_threadsafe(gevent.spawn, _fulfil, future, function, args)
            # What ends the loop may have been done by then.
            if self._is_gone and not future.done():
                raise _has_stopped()
            return future.result()
        finally:
            self._calls.discard(future)
            # A failure knows this frame; if this frame knew it too, both would stay for a while,
            # with the sockets of the request.
            del future

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Run something that does not block on the hub, soon; may be called from any thread.

        From the hub itself it is run at once. What one thread posts keeps its order. After the end
        nothing happens.
        """
        if _get_ident() == self._thread:
            function(*args)
        elif not self._stopped.is_set():
            self._hub.loop.run_callback_threadsafe(function, *args)

    def make_signal(self) -> Signal:
        """Return what code that may block, such as a view, waits at for the hub."""
        return GreenSignal() if self.is_patched else threading.Event()

    def offload(
        self, function: Callable[..., Result], *args: Any, timeout: float | None = None
    ) -> Result:
        """Run code that may block, without holding up the hub, and return its result.

        Args:
            function: The code.
            args: Its arguments.
            timeout: Seconds after which it is given up, if it was called from the hub. In a thread
                it goes on nevertheless.

        Raises:
            HookTimeout: It was given up.
        """
        if _get_ident() != self._thread:
            return function(*args)
        with gevent.Timeout(timeout, HookTimeout):
            return self._run_aside(self._pool, function, args)

    def prepare(
        self, membership: Membership, publisher: Publisher | None = None, persisted: bool = True
    ) -> Facility:
        """Join the channels of a websocket that is about to open; runs on the hub.

        From its return on, nothing that is published on the channels is lost to the websocket.

        Args:
            membership: The channels.
            publisher: Takes the client's messages; by default they go to Redis.
            persisted: Whether the last message of each channel is to be delivered first.

        Raises:
            BusError: Redis is away, or too much was published meanwhile.
        """
        self.bus.wait_connected(self.options.redis_timeout)
        return self._join(membership, publisher or self.uplink, persisted)

    def follow(self, receiver: Receiver, channels: Sequence[bytes]) -> None:
        """Let a receiver look at each message of channels; runs on the hub.

        When it returns, they are live. Whatever happens, the receiver has to leave them in the end.

        Raises:
            BusError: Redis is away, or refuses.
        """
        self.reach_redis()
        for channel in channels:
            self.dispatcher.join(channel, receiver)
        self._start_all(dict.fromkeys(channels), lambda channel, start: None)

    def reach_redis(self) -> None:
        """Wait for the link to Redis, if it is not there; runs on the hub.

        Raises:
            BusError: Redis is away.
        """
        self.bus.wait_connected(self.options.redis_timeout)

    def wait_flushed(self, connection: Connection, then: Callable[[], object]) -> None:
        """Let others run, and wait until a client has taken what it was sent; runs on the hub.

        Args:
            connection: That of the client.
            then: Called in the very moment when nothing waits.
        """
        flushed = GreenSignal()

        def on_flushed() -> None:
            then()
            flushed.set()

        self._hub.loop.run_callback(connection.when_flushed, on_flushed)
        flushed.wait()

    def enter(self, address: str) -> Place:
        """Count a websocket that is about to open; runs on the hub. See ``Admission.enter``."""
        return self.registry.admission.enter(address)

    def identify(self, place: Place, identity: Identity) -> None:
        """Note who is behind it; runs on the hub. See ``Admission.identify``."""
        self.registry.admission.identify(place, identity)

    def leave(self, place: Place) -> None:
        """Count a websocket that did not open after all; runs on the hub."""
        self.registry.admission.leave(place)

    def adopt(
        self,
        sock: socket.socket,
        handler: Handler,
        early: bytes,
        place: Place | None = None,
        inflates: bool = False,
    ) -> Connection:
        """Open a websocket whose handshake is done; runs on the hub. See ``Registry.adopt``."""
        connection = self.registry.adopt(sock, handler, early, place, inflates=inflates)
        self.sweep.greet(connection)
        return connection

    def adopt_stream(
        self, sock: socket.socket, handler: Handler, place: Place | None = None
    ) -> Connection:
        """Open a stream of events; runs on the hub. See ``Registry.adopt_stream``."""
        connection = self.registry.adopt_stream(sock, handler, place)
        self.sweep.greet(connection)
        return connection

    def may_post(self, who: str, size: int) -> bool:
        """Return whether somebody may publish without a websocket; runs on the hub.

        Args:
            who: Stands for the client.
            size: Bytes of the message.
        """
        is_good = self._posts.take(who, size)
        if not is_good:
            self.metrics.event("limits.rate")
        return is_good

    def channels(self) -> Iterable[bytes]:
        """Return all that is to be subscribed; called by the bus."""
        return self.recovery.names(self.dispatcher.channels)

    def on_connected(self) -> None:
        """Catch up, and let waiting clients go on; called by the bus."""
        self.recovery.on_connected()
        if self.bus.epoch:
            self.recovery.tell_gaps()
        self.uplink.retry()
        self.sweep.suspect_everybody()

    def on_messages(self, deliveries: Sequence[Delivery]) -> None:
        """Deliver messages; called by the bus."""
        self.dispatcher.dispatch(self.recovery.placed(deliveries))

    def on_lost(self, epoch: int) -> None:
        """Await nothing that was on its way; called by the bus, once for each loss."""
        self.recovery.on_lost()
        self.dispatcher.forget_returns()

    def _offload_own(self, function: Callable[..., Result], *args: Any) -> Result:
        """Run code of the loop itself that may block, where no hook can be in its way."""
        return self._run_aside(self._own_pool, function, args)

    def _run_aside(
        self,
        pool: gevent.threadpool.ThreadPool,
        function: Callable[..., Result],
        args: Sequence[Any],
    ) -> Result:
        if self._is_patched:
            return function(*args)
        # Caught there already: the pool would print what is raised for the caller to handle.
        result, error = pool.apply(_attempt, (function, args))
        if error is None:
            return cast(Result, result)
        try:
            raise error
        finally:
            # See call().
            del error

    def _run_thread(self, ready: threading.Event) -> None:
        self._begin()
        ready.set()
        self._stopped.wait()
        # Whoever comes later sees this; whoever came before is told, as nothing runs any more.
        self._is_gone = True
        for future in tuple(self._calls):
            if not future.done():
                future.set_exception(_has_stopped())

    def _begin(self) -> None:
        self._thread = _get_ident()
        self._hub = gevent.hub.get_hub()
        self._stopped = gevent.event.Event()
        self._pool = gevent.threadpool.ThreadPool(self.options.hook_threads, hub=self._hub)
        self._own_pool = gevent.threadpool.ThreadPool(OWN_THREADS, hub=self._hub)
        self.registry = Registry(self.options, self.metrics, self._hub.loop.io)
        self.sweep = Sweep(
            self.registry,
            lambda identities: self._offload_own(self._judge, identities),
            self.options.auth_sweep,
            self._fanout.flush,
        )
        self.dispatcher.join(self.options.control, self.sweep)
        self._posts = Rates(
            self.options.max_message_rate, self.options.max_byte_rate, self.registry.now
        )
        self.sweep.start()
        self._timer = self._hub.loop.timer(TICK, repeat=TICK)
        self._timer.start(self._tick)
        self.bus.start()

    def _tick(self) -> None:
        self.registry.tick()
        self.uplink.retry()
        if self.bus.is_connected:
            self.recovery.check()
        flood.clients.tell()

    def _join(self, membership: Membership, publisher: Publisher, persisted: bool) -> Facility:
        kind = Feed if membership.encoding.form in EVENTS else Facility
        facility = kind(
            membership,
            dispatcher=self.dispatcher,
            publisher=publisher,
            heartbeat=self.options.heartbeat,
            hold_limit=self.options.outbox_size,
        )
        facility.join()
        try:
            self._synchronize(facility, persisted)
        except BaseException:
            facility.leave()
            raise
        return facility

    def _synchronize(self, facility: Facility, persisted: bool) -> None:
        membership = facility.membership

        def begin(channel: bytes, start: Start) -> None:
            is_wanted = persisted or start.recovered is not None
            facility.start(channel, start if is_wanted else start._replace(messages=()))

        since = {name: membership.since.get(name) for name in membership.subscriptions}
        self._start_all(since, begin)
        if facility.handover.overflowed:
            raise BusError("Too much was published while the websocket was opened.")

    def _start_all(
        self, since: Mapping[bytes, Position | None], begin: Callable[[bytes, Start], None]
    ) -> None:
        """Wait for the start of each channel, and so for its subscription."""
        missing = set(since)
        done = gevent.event.AsyncResult()

        def started(channel: bytes, start: Start | Exception) -> None:
            if isinstance(start, Exception):
                done.set_exception(BusError(f"Redis did not give the last messages: {start}"))
                return
            begin(channel, start)
            missing.discard(channel)
            if not missing:
                done.set(True)

        for channel, position in since.items():
            self.recovery.start(channel, position, partial(started, channel))
        if missing:
            self._wait(done)
        if refused := self.bus.refused.intersection(self.recovery.names(since)):
            names = sorted(without_secrets(name.decode(errors="replace")) for name in refused)
            raise BusError(f"Redis refuses to subscribe {names}.")

    def _wait(self, done: gevent.event.AsyncResult) -> None:
        """Wait for answers of Redis, as long as any come: many may read much at once.

        Raises:
            BusError: None came in time, or the link broke.
        """
        while True:
            heard = self.bus.heard
            try:
                done.get(timeout=self.options.redis_timeout)
            except gevent.Timeout:
                if self.bus.heard == heard:
                    raise BusError("Redis did not answer in time.") from None
            else:
                return

    def _stop(self, code: int) -> None:
        self.is_draining = True
        drain(self.registry, code, self.options.drain_time, self.tasks)
        if self.tasks:
            logger.warning(CUT_OFF, len(self.tasks))
        self.sweep.stop()
        self.bus.stop()
        self._timer.stop()
        self._stopped.set()


def _has_stopped() -> BusError:
    return BusError("The websocket loop has stopped.")


def _attempt(function: Callable[..., Any], args: Sequence[Any]) -> tuple[Any, BaseException | None]:
    try:
        return function(*args), None
    except BaseException as error:
        return None, error


def _fulfil(
    future: concurrent.futures.Future[Result], function: Callable[..., Result], args: Sequence[Any]
) -> None:
    try:
        future.set_result(function(*args))
    except BaseException as error:
        future.set_exception(error)
        # See Runner.call.
        del future
