"""Drives the load generator ``load.c``, which holds the clients."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from programs import compiled
from waiting import PATIENCE


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the load generator knows after a command."""

    open: int
    """Websockets that are open."""
    lost: int
    """Websockets that the server ended."""
    messages: int
    """Deliveries since the last reset."""
    others: int
    """What else came since then, such as heartbeats."""
    disordered: int
    """Deliveries that came twice, or after a later one."""
    p50_us: int
    """Microseconds from the publication within which half of the deliveries came."""
    p99_us: int
    """The same for 99 % of them."""
    last_at_ns: int
    """Time of the last delivery on the monotonic clock."""
    bytes: int
    """What the clients received in all since the last reset."""
    sent: int
    """Heartbeats that the network took since then."""


class Load:
    """Clients of the server at a port; ``with`` ends them.

    Args:
        port: Where the server listens on 127.0.0.1.
        address: Path and query of the websockets.
        headers: More lines for the head of the handshake, such as ``Cookie: a=b``; a ``%u`` in
            them stands for the number of the websocket, from 0 on, and anew once all are closed.
        dialect: How the server wants to be spoken to, ``plain``, ``socketio`` or ``v1``.
    """

    def __init__(
        self, port: int, address: str, headers: Sequence[str] = (), *, dialect: str = "plain"
    ) -> None:
        self._popen = subprocess.Popen(
            [compiled("load"), f"--{dialect}", str(port), address, *headers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def __enter__(self) -> Load:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._popen.kill()
        self._popen.communicate()

    def visit(self, address: str) -> Answer:
        """Set path and query of the websockets to come."""
        return self._ask(f"path {address}")

    def connect(self, count: int) -> Answer:
        """Open more websockets."""
        return self._ask(f"connect {count}")

    def storm(self, count: int) -> Answer:
        """Open more websockets, all at once."""
        return self._ask(f"storm {count}")

    def close(self, count: int) -> Answer:
        """Close some websockets; returns when the server has closed them too."""
        return self._ask(f"close {count}")

    def send_heartbeats(self, text: str, interval_ms: int) -> Answer:
        """Let each client send a text once in an interval; 0 stops it."""
        return self._ask(f"heartbeat {interval_ms} {text}")

    def look(self) -> Answer:
        """Return what came so far."""
        return self._ask("wait 0 0")

    def reset(self) -> Answer:
        """Count messages from zero."""
        return self._ask("reset")

    def wait(self, messages: int) -> Answer:
        """Wait until so many messages came since the last reset.

        Raises:
            RuntimeError: They did not come, or came disordered.
        """
        answer = self._ask(f"wait {messages} {PATIENCE}")
        if answer.messages != messages or answer.disordered:
            raise RuntimeError(f"Not all of {messages} messages were delivered well: {answer}")
        return answer

    def _ask(self, line: str) -> Answer:
        """Let the load generator do something.

        Raises:
            RuntimeError: It could not, or the server has ended websockets by itself.
        """
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.write(f"{line}\n")
        reply = self._popen.stdout.readline()
        if not reply:
            raise RuntimeError(f"The load generator gave up at {line!r}; see above.")
        answer = Answer(**json.loads(reply))
        if answer.lost:
            raise RuntimeError(f"The server ended websockets: {answer}")
        return answer
