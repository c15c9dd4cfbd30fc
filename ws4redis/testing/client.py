"""A client that opens websockets on views and facilities of the site, without a server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpResponse
from django.test import Client, RequestFactory

from ws4redis.testing.bus import current_scene
from ws4redis.testing.ends import ClientEnd, Message
from ws4redis.testing.scene import Handshake, Scene
from ws4redis.wire.close import CloseCode
from ws4redis.wire.frames import Opcode

TIMEOUT = 1.0
"""Seconds, of the test's own time, that a message may take; it costs no real ones."""
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_SHOWN = 200


class HandshakeRefused(AssertionError):
    """A websocket was not opened.

    Args:
        path: Where.
        response: The HTTP answer.
    """

    def __init__(self, path: str, response: HttpResponse) -> None:
        said = f"{response.status_code} {response.reason_phrase}"
        text = response.content[:_SHOWN].decode(errors="replace").strip()
        # A page begins with what says nothing.
        if text and not text.startswith("<"):
            said += f": {text}"
        super().__init__(f"{path} was refused with {said}")
        self.response = response


class WebSocketClient(Client):
    """Django's test client, which opens websockets, too.

    Middleware, URLconf, decorators and views are those of the site. They run in the thread of the
    test, on its connection to the database and inside of its transaction.

    An exception that a view raises is raised in the test, by whatever the test does next with a
    websocket, or by its end; with ``raise_request_exception=False`` the websocket is closed with
    1011 instead.
    """

    def connect(
        self,
        path: str,
        *,
        subprotocols: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        secure: bool = False,
    ) -> TestSocket:
        """Open a websocket, and let its view go on until it waits.

        Args:
            path: On the site, with its query: ``/ws/chat/``, ``/ws/chat?subscribe-broadcast``.
            subprotocols: What the client offers, the preferred one first.
            headers: Of the handshake. The origin is a page of the site, unless ``Origin`` says
                something else.
            secure: Whether it comes over TLS.

        Raises:
            HandshakeRefused: It was not opened; carries the ``response``.
            AssertionError: None of the offered subprotocols was chosen, so that a browser would
                not open it.
            RuntimeError: Nothing would close it when the test ends.
        """
        scene = _scene()
        environ = self._environ(path, subprotocols, headers or {}, secure)
        handshake = scene.open(environ, is_raising=self.raise_request_exception)
        scene.raise_failure()
        if handshake.end is None:
            raise HandshakeRefused(path, self._response(handshake))
        socket = TestSocket(scene, handshake.end, dict(handshake.headers))
        if socket.subprotocol not in (subprotocols or (None,)):
            socket._drop()
            raise AssertionError(
                f"No browser opens {path}: it offers the subprotocols {[*subprotocols]}, and "
                f"{socket.subprotocol!r} was chosen."
            )
        return socket

    def assert_refused(self, path: str, status: int, **options: Any) -> HttpResponse:
        """See that a websocket is not opened; return the HTTP answer.

        Args:
            path: See ``connect``.
            status: The status that the answer must have.
            options: Those of ``connect``.
        """
        try:
            self.connect(path, **options)
        except HandshakeRefused as refused:
            if refused.response.status_code == status:
                return refused.response
            raise AssertionError(f"Expected {status}, but {refused}") from None
        raise AssertionError(f"Expected {status}, but {path} was opened.")

    def _environ(
        self, path: str, subprotocols: Sequence[str], headers: Mapping[str, str], secure: bool
    ) -> dict[str, Any]:
        factory = RequestFactory()
        factory.defaults = self.defaults
        factory.cookies = self.cookies
        host = str(self.defaults.get("HTTP_HOST", self.defaults.get("SERVER_NAME", "testserver")))
        wanted = {
            "Host": host,
            "Origin": f"http{'s' if secure else ''}://{host}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": _KEY,
            "Sec-WebSocket-Version": "13",
        }
        if subprotocols:
            wanted["Sec-WebSocket-Protocol"] = ", ".join(subprotocols)
        request = factory.get(path, headers={**wanted, **headers}, secure=secure)
        return dict(request.environ)

    def _response(self, handshake: Handshake) -> HttpResponse:
        response = HttpResponse(handshake.body, status=handshake.status)
        for name, value in handshake.headers:
            if name.lower() == "set-cookie":
                response.cookies.load(value)
            else:
                response[name] = value
        self.cookies.update(response.cookies)
        return response


def _scene() -> Scene:
    # Without an end of its own, a view would end in another test, and write there.
    if (scene := current_scene()) is None:
        raise RuntimeError(
            "Nothing would close this websocket when its test ends: use WebSocketTestMixin, or "
            "override_bus(), of ws4redis.testing."
        )
    return scene


class TestSocket:
    """An open websocket in the hands of a test.

    Used as a context manager, it is closed at the end.
    """

    __test__ = False

    def __init__(self, scene: Scene, end: ClientEnd, headers: dict[str, str]) -> None:
        self._scene = scene
        self._end = end
        self.headers = headers
        """Those of the answer that opened it."""
        self.subprotocol = headers.get("Sec-WebSocket-Protocol")
        """What was chosen; None if nothing was."""

    def __enter__(self) -> TestSocket:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self.close_code is not None

    @property
    def close_code(self) -> int | None:
        """Why it ended; None while it has not."""
        self._run()
        return self._end.close_code

    @property
    def close_reason(self) -> str:
        """What was said at the end."""
        self._run()
        return self._end.close_reason

    def send(self, data: Message) -> None:
        """Send a message: str as text, bytes as binary.

        Raises:
            TypeError: It is neither.
        """
        if not isinstance(data, (str, bytes, bytearray, memoryview)):
            raise TypeError(
                f"A message must be str or bytes, got {type(data).__name__}: see send_json()."
            )
        if self.closed:
            raise AssertionError(f"Nothing can be sent: {self._ending()}.")
        opcode = Opcode.TEXT if isinstance(data, str) else Opcode.BINARY
        self._end.send(opcode, data.encode() if isinstance(data, str) else bytes(data))
        self._run()

    def send_json(self, value: Any) -> None:
        """Send a value as JSON."""
        self.send(json.dumps(value, cls=DjangoJSONEncoder))

    def receive(self, timeout: float = TIMEOUT) -> Message:
        """Return the next message.

        Args:
            timeout: Seconds that it may take. They pass for the site's views, not for the test.

        Raises:
            AssertionError: None came, or the websocket has ended.
        """
        self._wait(lambda: bool(self._end.messages) or self._has_ended(), timeout)
        if self._end.messages:
            return self._end.messages.popleft()
        what = self._ending() if self._has_ended() else f"nothing came in {timeout:g} s"
        raise AssertionError(f"A message was expected, but {what}.")

    def receive_json(self, timeout: float = TIMEOUT) -> Any:
        """Return what the next message says as JSON; see ``receive``."""
        return json.loads(self.receive(timeout))

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """End it, if it has not ended."""
        self._end.close(code, reason)
        self._run()

    def advance(self, seconds: float) -> None:
        """Let time pass, for all websockets of the test."""
        self._wait(lambda: False, seconds)

    def assert_closed(self, code: int | None = None, timeout: float = TIMEOUT) -> None:
        """See that it has ended.

        Args:
            code: The close code that it must have.
            timeout: See ``receive``.
        """
        self._wait(self._has_ended, timeout)
        if not self._has_ended():
            waiting = len(self._end.messages)
            raise AssertionError(f"The websocket is open; {waiting} messages wait for receive().")
        if code is not None and self._end.close_code != code:
            raise AssertionError(f"Expected {code:d}, but {self._ending()}.")

    def assert_nothing(self, seconds: float = 0) -> None:
        """See that no message comes.

        Args:
            seconds: How long; they pass as in ``receive``.
        """
        self._wait(lambda: bool(self._end.messages), seconds)
        if self._end.messages:
            raise AssertionError(f"Nothing was expected, but {self._end.messages[0]!r} came.")

    def _has_ended(self) -> bool:
        return self._end.close_code is not None

    def _ending(self) -> str:
        reason = f" ({self._end.close_reason})" if self._end.close_reason else ""
        return f"the websocket was closed with {self._end.close_code:d}{reason}"

    def _wait(self, until: Any, seconds: float) -> None:
        self._scene.let_pass(seconds, until)
        self._scene.raise_failure()

    def _run(self) -> None:
        self._scene.run()
        self._scene.raise_failure()

    def _drop(self) -> None:
        self._end.end()
        self._run()
