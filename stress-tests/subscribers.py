"""Many websockets that wait for one live message; how they wait is the caller's affair."""

from __future__ import annotations

import os
import resource
import threading
import uuid

from websocket import Websocket

URL = os.environ.get("URL", "ws://127.0.0.1:8000/ws/")
CLIENTS = int(os.environ.get("CLIENTS", "1000"))
PATIENCE = 60

_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))


class Subscribers:
    """Followers of a facility of their own.

    A server that persists messages hands each new websocket the last one, which must not pass for
    the live message. So an early message is published before any of them is open.
    """

    def __init__(self) -> None:
        self._facility = uuid.uuid4().hex
        self._early = f"{self._facility} early".encode()
        self._live = f"{self._facility} live".encode()
        self._open = threading.Semaphore(0)
        self._publish(self._early)

    @property
    def expected(self) -> list[list[bytes]]:
        """What each of them may receive: all the same, as a server persists messages or not."""
        return [[self._early, self._live], [self._live]]

    def follow(self) -> list[bytes]:
        """Open a websocket, and wait for the live message; return all that came up to it."""
        received: list[bytes] = []
        with Websocket(f"{URL}{self._facility}?subscribe-broadcast") as websocket:
            self._open.release()
            while self._live not in received:
                received.append(self._receive(websocket))
        return received

    def publish(self) -> None:
        """Send the live message from another websocket, once all others are open.

        Raises:
            TimeoutError: Not all of them could be opened.
        """
        for number in range(CLIENTS):
            if not self._open.acquire(timeout=PATIENCE):
                raise TimeoutError(f"Only {number} of {CLIENTS} websockets could be opened.")
        self._publish(self._live)

    def _publish(self, message: bytes) -> None:
        address = f"{self._facility}?subscribe-broadcast&publish-broadcast&echo"
        with Websocket(f"{URL}{address}") as websocket:
            websocket.send(message)
            # Its return tells that Redis has it.
            while self._receive(websocket) != message:
                continue

    def _receive(self, websocket: Websocket) -> bytes:
        """Return the next message of the test; heartbeats are none."""
        while not (message := websocket.receive()).startswith(self._facility.encode()):
            continue
        return message
