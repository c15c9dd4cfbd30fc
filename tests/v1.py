"""Clients that come back: one that speaks ``ws4redis.v1``, and one of plain websockets.

They run on asyncio, so that a crowd of them fits into one process. What they remember, they
remember themselves: the server knows nothing of a client that is away.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

SUBPROTOCOL = "ws4redis.v1"
MIN_DELAY, MAX_DELAY = 0.1, 2.0
"""Seconds between which the bound of the random delay doubles."""
SMALL = 4096
"""Bytes that the kernel keeps for a client that may be slow."""
MISTAKES = {400, 403, 404}
"""Refusals that would come again."""

Data = str | bytes


def parse(data: Data) -> tuple[dict[str, Any], Data | None]:
    """Return the head of a frame and its payload; None if it has none."""
    if isinstance(data, str):
        head, separator, text = data.partition("\n")
        return json.loads(head), text if separator else None
    line, separator_, rest = data.partition(b"\n")
    return json.loads(line), rest if separator_ else None


def may_come_back(code: int) -> bool:
    return code != 1008 and not 4500 <= code <= 4999


class Plain:
    """A websocket that is opened again whenever it is lost.

    Args:
        url: With what it subscribes to.
        on_message: Gets each message.
        is_slow: Whether the kernel is to keep little of what it does not read.
    """

    subprotocols: list[Subprotocol] | None = None

    def __init__(
        self, url: str, on_message: Callable[[Data], None], *, is_slow: bool = False
    ) -> None:
        self._url = url
        self._on_message = on_message
        self._is_slow = is_slow
        self._attempt = 0
        self._delay: float | None = None
        self.is_open = False
        self.is_final = False
        """Whether the server said not to come back."""
        self.connects = 0
        self.reads = asyncio.Event()
        """Whether it reads what comes."""
        self.reads.set()

    @property
    def url(self) -> str:
        """Where it connects the next time."""
        return self._url

    async def run(self) -> None:
        """Stay connected until cancelled, or until the server says not to come back."""
        while not self.is_final:
            try:
                await self._connect()
            except ConnectionClosed as closed:
                self.is_final |= not may_come_back(closed.rcvd.code if closed.rcvd else 1006)
            except InvalidStatus as refused:
                self.is_final = refused.response.status_code in MISTAKES
            except (OSError, WebSocketException):
                pass
            self.is_open = False
            await asyncio.sleep(self._next_delay())

    async def _connect(self) -> None:
        async with connect(
            self.url,
            sock=await self._small_socket() if self._is_slow else None,
            subprotocols=self.subprotocols,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            max_size=None,
            max_queue=1 if self._is_slow else None,
            proxy=None,
        ) as websocket:
            self._opened()
            await self._read(websocket)

    async def _read(self, websocket: ClientConnection) -> None:
        while True:
            await self.reads.wait()
            self._receive(await websocket.recv())

    async def _small_socket(self) -> socket.socket:
        place = urlsplit(self.url)
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        made.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(made, (place.hostname, place.port))
        except OSError:
            made.close()
            raise
        return made

    def _opened(self) -> None:
        """The handshake has succeeded."""
        self._joined()

    def _joined(self) -> None:
        self.is_open = True
        self.connects += 1
        self._attempt = 0

    def _receive(self, data: Data) -> None:
        self._on_message(data)

    def _next_delay(self) -> float:
        if self._delay is not None:
            delay, self._delay = self._delay, None
            return delay
        bound = min(MAX_DELAY, MIN_DELAY * 2 ** min(self._attempt, 10))
        self._attempt += 1
        return random.uniform(0, bound)


class Subscriber(Plain):
    """A client of ``ws4redis.v1``: it says where it was, and tells of what can't be had.

    Args:
        url: With what it subscribes to.
        on_message: Gets each payload.
        on_gap: Gets the channel on which something is gone, or may be.
        is_slow: Whether the kernel is to keep little of what it does not read.
    """

    subprotocols = [Subprotocol(SUBPROTOCOL)]

    def __init__(
        self,
        url: str,
        on_message: Callable[[Data], None],
        on_gap: Callable[[str], None],
        *,
        is_slow: bool = False,
    ) -> None:
        super().__init__(url, on_message, is_slow=is_slow)
        self._on_gap = on_gap
        self.positions: dict[str, str] = {}
        """Where it is on each channel."""
        self.handlers = {
            "welcome": self._welcome,
            "gap": self._gap,
            "closing": self._closing,
        }

    @property
    def url(self) -> str:
        since = [f"{channel}@{position}" for channel, position in self.positions.items()]
        return self._url + "".join(f"&since={quote(each, safe='')}" for each in since)

    def _opened(self) -> None:
        """It has joined only when it is welcome."""

    def _receive(self, data: Data) -> None:
        head, payload = parse(data)
        if payload is not None:
            self._remember(head["channel"], head)
            self._on_message(payload)
        elif handler := self.handlers.get(head["type"]):
            handler(head)

    def _remember(self, channel: str, head: dict[str, Any]) -> None:
        if position := head.get("position"):
            self.positions[channel] = position

    def _welcome(self, head: dict[str, Any]) -> None:
        self._joined()
        for channel, state in head["channels"].items():
            if channel in self.positions and not state.get("recovered"):
                self._on_gap(channel)
            # Else what follows begins where it was, and each message says where it is.
            if not state.get("recovered"):
                self._remember(channel, state)

    def _gap(self, head: dict[str, Any]) -> None:
        self._remember(head["channel"], head)
        self._on_gap(head["channel"])

    def _closing(self, head: dict[str, Any]) -> None:
        self.is_final = not head["reconnect"]
        self._delay = head.get("delay", 0) / 1000
