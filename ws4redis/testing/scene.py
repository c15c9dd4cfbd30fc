"""The loop of a test: it runs in the test's own thread, and only while the test uses a websocket.

Facilities, views, limits and the codec are the real ones. Each view is a greenlet of the test's
thread, so that it shares the test's connection to the database. It runs until it waits for its
websocket; then the test goes on. Time passes only where the test says so.
"""

from __future__ import annotations

import contextvars
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar, cast
from unittest.mock import patch

import gevent
from django.core.signals import got_request_exception
from django.db.backends.base.base import BaseDatabaseWrapper
from greenlet import getcurrent, greenlet

from ws4redis.answers import refusal
from ws4redis.conf import Settings, get_settings
from ws4redis.endpoint import Endpoint
from ws4redis.exceptions import BusError, ConnectionClosed, HandshakeError
from ws4redis.loop.admission import Identity
from ws4redis.loop.connection import Connection, Phase
from ws4redis.loop.dispatcher import Dispatcher
from ws4redis.loop.fanout import Fanout
from ws4redis.loop.pull import Signal
from ws4redis.loop.rate import Rates
from ws4redis.loop.recovery import Recovery
from ws4redis.loop.registry import TICK, Registry
from ws4redis.loop.runner import Runner
from ws4redis.loop.sweep import Sweep
from ws4redis.loop.uplink import Uplink
from ws4redis.metrics import Metrics
from ws4redis.reauthorize import judge
from ws4redis.testing.ends import ClientEnd, ServerEnd, Wires
from ws4redis.testing.memory import NO_REDIS, DirectBus, NoRedis, let_expire
from ws4redis.transports import GIVEN, Environ, Headers
from ws4redis.views.endpoint import ViewEndpoint, asks_for_view
from ws4redis.views.handler import ViewHandler
from ws4redis.views.meeting import GONE, Acceptance, Meeting
from ws4redis.views.running import Views
from ws4redis.views.socket import Line
from ws4redis.wsgi import options

Result = TypeVar("Result")

INSTANT = 0.001
"""Seconds that a view waits at least: one that asks again and again must let the test go on."""


@contextmanager
def connections_stay() -> Iterator[None]:
    """Keep connections to databases open, which may stand in the test's transaction.

    Requests, hooks and views close old ones; Django's own test client takes the same care.
    """
    name = "close_if_unusable_or_obsolete"
    with patch.object(BaseDatabaseWrapper, name, lambda connection: None):
        yield


class Scene:
    """The websockets of a test.

    Args:
        client: A Redis client, for all of them.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self.now = 0.0
        """Seconds since it began, as the test lets them pass."""
        self.wires = Wires()
        self._runner: _Runner | None = None
        self._settings: Settings | None = None
        self._runners: list[_Runner] = []
        self._views: list[_View] = []
        self._failures: deque[BaseException] = deque()
        """What views have raised, and the test does not know yet."""
        self._turns = 0
        """Those of the wheels up to now."""

    @connections_stay()
    def open(self, environ: Environ, *, is_raising: bool = True) -> Handshake:
        """Do a handshake.

        Args:
            environ: Of the request.
            is_raising: Whether the test is to know what its view raises.
        """
        # Views take what was published before, as they would have done meanwhile.
        self.run()
        handshake = Handshake(self.wires)
        environ[GIVEN] = handshake
        application = self._application(environ, is_raising)
        answer = application(environ, handshake.start_response)
        handshake.body = b"".join(answer)
        self.run()
        return handshake

    @connections_stay()
    def run(self) -> None:
        """Let everything happen that can happen without time passing."""
        while self._step():
            pass

    def raise_failure(self) -> None:
        """Raise what a view has raised; of several, the first that was not raised yet."""
        if self._failures:
            raise self._failures.popleft()

    def let_pass(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass, and views do what they do at their times.

        Args:
            seconds: How much.
            until: Whether it is enough.

        Returns:
            What ``until`` returned last.
        """
        end = self.now + seconds
        self.run()
        while not until() and self.now < end:
            deadlines = [view.deadline for view in self._views if view.deadline is not None]
            before = self.now
            self._turn_wheels(min([*deadlines, end]), until)
            let_expire(self.client, self.now - before)
            self.run()
        return until()

    def close(self) -> None:
        """End all websockets, and so the views.

        Raises:
            BaseException: What a view has raised, and the test does not know yet; of several, a
                group.
        """
        for _ in self.wires.cut():
            self.run()
        for runner in self._runners:
            runner.bus.close()
        if len(self._failures) > 1:
            raise BaseExceptionGroup("Several views have failed", [*self._failures])
        self.raise_failure()

    def runner(self, settings: Settings) -> Runner:
        """Return the loop that has these settings."""
        if self._runner is None or self._settings is not settings:
            self._runner, self._settings = _Runner(self, settings), settings
            self._runners.append(self._runner)
        return self._runner

    def start(self, view: Callable[[], None], is_raising: bool) -> None:
        """Run a view until it waits."""
        self._views.append(_View(view, is_raising))
        self._resume(self._views[-1])

    def wait(self, is_ready: Callable[[], bool], timeout: float | None = None) -> bool:
        """Let the test go on until there is something for the calling view.

        Returns:
            Whether there is; if not, the time is over.
        """
        view = getcurrent()
        if not isinstance(view, _View):
            raise RuntimeError("In a test, only the view itself can wait for its websocket.")
        deadline = None if timeout is None else self.now + max(timeout, INSTANT)
        view.is_ready, view.deadline = is_ready, deadline
        while not is_ready():
            if deadline is not None and self.now >= deadline:
                return False
            cast(greenlet, view.parent).switch()
        return True

    def _step(self) -> bool:
        # What was spawned, such as a hook of the site, runs in this thread, too.
        gevent.sleep(0)
        moved = [runner.look() for runner in self._runners]
        if not any(moved):
            moved.append(self.wires.move())
        self._views = [view for view in self._views if not view.dead]
        for view in tuple(self._views):
            if view.may_go_on(self.now):
                self._resume(view)
                moved.append(True)
        return any(moved)

    def _resume(self, view: _View) -> None:
        view.parent = getcurrent()
        if view.is_raising:
            got_request_exception.connect(self._note_current, weak=False, dispatch_uid=self)
        try:
            view.switch()
        finally:
            got_request_exception.disconnect(dispatch_uid=self)

    def _note_current(self, **_: object) -> None:
        if (failure := sys.exc_info()[1]) is not None:
            self._note(failure)

    def _note(self, failure: BaseException) -> None:
        # With DEBUG_PROPAGATE_EXCEPTIONS, each middleware tells it again, and at last the endpoint.
        if not any(known in (failure, failure.__cause__) for known in self._failures):
            self._failures.append(failure)

    def _turn_wheels(self, moment: float, until: Callable[[], bool]) -> None:
        """Let time pass up to a moment, or until there is something to do for others."""
        while (turn := (self._turns + 1) * TICK) <= moment:
            self._turns += 1
            self.now = max(self.now, turn)
            for runner in self._runners:
                runner.registry.tick()
            if self.wires.is_busy or until():
                return
        self.now = moment

    def _application(self, environ: Environ, is_raising: bool) -> Any:
        settings = get_settings()
        runner = self.runner(settings)
        urlconf, metrics = settings.websocket_urlconf, runner.metrics
        note = self._note if is_raising else _ignore
        is_below = environ["PATH_INFO"].startswith(settings.websocket_url)
        if urlconf and (not is_below or asks_for_view(environ, urlconf)):
            views = _Views(self, is_raising)
            return _ViewEndpoint(
                note, get_settings, lambda _: runner, metrics, views, _ViewHandler(note)
            )
        if isinstance(self.client, NoRedis):
            raise BusError(NO_REDIS)
        return _Endpoint(note, get_settings, lambda: self.client, lambda _: runner, metrics)


class Handshake:
    """One request without a server: its transport, and what became of it.

    Args:
        wires: Makes the connection.
    """

    own_thread = False
    mercy = 60.0

    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self.status = 0
        self.headers: Headers = []
        self.body = b""
        self.end: ClientEnd | None = None
        """That of the test; None if it was refused."""

    def start_response(self, status: str, headers: Headers, *_: Any) -> None:
        """See PEP 3333."""
        self.status, self.headers = int(status.partition(" ")[0]), headers

    def take(self, status: str, headers: Headers) -> tuple[Any, bytes]:
        """See ``Transport.take``."""
        self.start_response(status, headers)
        server, self.end = self._wires.connect()
        return server, b""


class _Noted:
    """An endpoint that tells of what it answers with 500, and would only log.

    Args:
        note: Is told.
        others: The arguments of the endpoint.
    """

    def __init__(self, note: Callable[[BaseException], object], *others: Any) -> None:
        super().__init__(*others)
        self._note = note

    def _open(self, *request: Any) -> Any:
        try:
            return super()._open(*request)  # type: ignore[misc]
        except HandshakeError:
            raise
        except Exception as error:
            if refusal(error).status == HTTPStatus.INTERNAL_SERVER_ERROR:
                self._note(error)
            raise


class _Endpoint(_Noted, Endpoint):
    """For a facility."""


class _ViewEndpoint(_Noted, ViewEndpoint):
    """For a view."""


class _ViewHandler(ViewHandler):
    """Tells of views that can't do without Redis, which is no failure on a server.

    Args:
        note: Is told.
    """

    def __init__(self, note: Callable[[BaseException], object]) -> None:
        super().__init__()
        self._note = note

    def make_view_atomic(self, view: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return view(*args, **kwargs)
            except BusError as error:
                self._note(error)
                raise

        return super().make_view_atomic(call)


class _View(greenlet):  # type: ignore[misc]
    """A view, in a greenlet of the test's thread."""

    def __init__(self, view: Callable[[], None], is_raising: bool) -> None:
        super().__init__(view)
        self.is_raising = is_raising
        self.gr_context = contextvars.copy_context()
        self.is_ready: Callable[[], bool] = lambda: True
        self.deadline: float | None = None

    def may_go_on(self, now: float) -> bool:
        """Return whether there is something for it, or its time is over."""
        return self.is_ready() or (self.deadline is not None and self.deadline <= now)


class _Signal:
    """What a view waits at."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        return self._scene.wait(lambda: self._is_set, timeout)


class _Line:
    """The line of a view; nothing wakes it up that waits in another way than with its websocket."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._line, name)

    def fileno(self) -> int:
        raise NotImplementedError(
            "Without a server, a view can't wait for its websocket by select(): use "
            "ws4redis.testing.LiveServerTestCase."
        )


class _Meeting(Meeting):
    """Where view and request meet in one thread."""

    def __init__(self, runner: Runner, scene: Scene) -> None:
        super().__init__(runner)
        self._scene = scene

    def accept(
        self, identity: Identity, subprotocol: str | None, headers: Mapping[str, str]
    ) -> Line:
        acceptance = Acceptance(identity, subprotocol, headers)
        if not self.decide(acceptance):
            raise ConnectionClosed(GONE)
        self._scene.wait(acceptance.line.done)
        return cast(Line, _Line(acceptance.line.result()))


class _Views(Views):
    """The views of a test, which use its connections to databases."""

    def __init__(self, scene: Scene, is_raising: bool) -> None:
        super().__init__()
        self._scene = scene
        self._is_raising = is_raising

    def meet(self, runner: Runner) -> Meeting:
        return _Meeting(runner, self._scene)

    def start(self, runner: Runner, view: Callable[[], None], limit: int) -> None:
        self._scene.start(view, self._is_raising)


class _Sweep(Sweep):
    """Closes websockets whose rights changed."""

    def look(self) -> bool:
        """Look at those who are suspect; return whether there was anybody."""
        if not self._has_suspects.is_set():
            return False
        self._has_suspects.clear()
        verdicts = self._judge(self._take_suspects())
        self._expel(lambda place: verdicts.get(place.identity))
        return True


class _Runner(Runner):
    """The loop, without a hub, a thread and a link."""

    bus: DirectBus  # type: ignore[assignment]
    sweep: _Sweep

    def __init__(self, scene: Scene, settings: Settings) -> None:
        super().__init__(options(settings, Handshake.mercy), _no_link, judge, Metrics())
        self._scene = scene
        kept = self.options
        self._fanout = Fanout(pause=lambda: None, spawn=lambda write: write())
        self.bus = DirectBus(scene.client, self, kept.histories)
        self.recovery = Recovery(self.bus, kept.histories, lambda: self.dispatcher, self.metrics)
        self.dispatcher = Dispatcher(
            self.recovery.follow, self.recovery.forget, self._fanout, self.metrics, kept.shown
        )
        self.uplink = Uplink(self.bus, kept.expire, self.metrics)
        clock = partial(getattr, scene, "now")
        self.registry = Registry(kept, self.metrics, scene.wires.watch, clock)
        self.sweep = _Sweep(self.registry, judge, None, self._fanout.flush)
        self._posts = Rates(kept.max_message_rate, kept.max_byte_rate, clock)
        if not isinstance(scene.client, NoRedis):
            self.dispatcher.join(kept.control, self.sweep)

    @property
    def is_here(self) -> bool:
        return False

    @property
    def is_patched(self) -> bool:
        return False

    def look(self) -> bool:
        """Hand over one message that was published; return whether anything happened."""
        return self.bus.deliver_next() | self.sweep.look()

    def call(self, function: Callable[..., Result], *args: Any) -> Result:
        return function(*args)

    def post(self, function: Callable[..., object], *args: Any) -> None:
        function(*args)

    def offload(
        self, function: Callable[..., Result], *args: Any, timeout: float | None = None
    ) -> Result:
        return function(*args)

    def wait_flushed(self, connection: Connection, then: Callable[[], object]) -> None:
        """Let the test go on until it has received what was sent, or the websocket has ended."""
        end = cast(ServerEnd, connection._sock)
        self._scene.wait(lambda: end.is_received or connection.phase is not Phase.OPEN)
        then()

    def make_signal(self) -> Signal:
        return _Signal(self._scene)


def _ignore(failure: BaseException) -> None:
    pass


def _no_link() -> Any:
    raise AssertionError("The loop of a test opens no link.")
