"""A bad network on demand: stands between a client and a real server on a unix socket."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.deployments import free_port
from tests.waiting import PATIENCE

Change = Callable[[bytes], bytes]


class Way:
    """One of the two directions of all connections."""

    def __init__(self) -> None:
        self.delay = 0.0
        """Seconds for which each piece of data is held."""
        self.change: Change | None = None
        """What becomes of each piece of data."""
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await asyncio.sleep(self.delay)
            await self.is_open.wait()
            writer.write(self.change(data) if self.change else data)
            await writer.drain()
        # Who is stalled does not learn of the end either.
        await self.is_open.wait()


class TcpProxy(AbstractContextManager["TcpProxy"]):
    """Passes on what a port gets to a unix socket, until told otherwise.

    Everything here may be called from the test's thread, at any time.

    Args:
        path: The unix socket of the server.
    """

    def __init__(self, path: Path) -> None:
        self.port = free_port()
        self.accepted = 0
        """Connections that were made so far."""
        self.requests, self.answers = Way(), Way()
        self.path = path
        """Where connections lead that are made from now on."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy")

    def __enter__(self) -> TcpProxy:
        self._thread.start()
        self.allow()
        return self

    def __exit__(self, *details: object) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    @property
    def url(self) -> str:
        """Where Redis is, for those who are to go through here."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def connected(self) -> int:
        """Connections that are open now."""
        return len(self._writers) // 2

    def allow(self) -> None:
        """Take new connections again after ``refuse()``."""
        self._run(self._listen())

    def refuse(self) -> None:
        """Take no new connections; those that are open go on."""
        self._run(self._close_listener())

    def cut(self, *, reset: bool = False) -> None:
        """End all open connections on both sides, with a FIN or with a RST."""
        self._run(self._cut(reset))

    def stall(self, *ways: Way) -> None:
        """Pass on nothing in some directions, by default in both; who connects is accepted."""
        for way in ways or (self.requests, self.answers):
            self._loop.call_soon_threadsafe(way.is_open.clear)

    def resume(self) -> None:
        """Pass on everything after ``stall()``, also what was held."""
        for way in (self.requests, self.answers):
            self._loop.call_soon_threadsafe(way.is_open.set)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _close_listener(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            their_reader, their_writer = await asyncio.open_unix_connection(str(self.path))
        except OSError:
            writer.close()
            return
        pumps = {
            asyncio.create_task(self.requests.pump(reader, their_writer)),
            asyncio.create_task(self.answers.pump(their_reader, writer)),
        }
        self._pumps |= pumps
        self._writers |= {writer, their_writer}
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        await self._forget(pumps, {writer, their_writer})

    async def _forget(
        self, pumps: set[asyncio.Task[None]], writers: set[asyncio.StreamWriter]
    ) -> None:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for writer in writers:
            writer.close()
        self._pumps -= pumps
        self._writers -= writers

    async def _cut(self, reset: bool) -> None:
        for writer in self._writers:
            sock = writer.get_extra_info("socket")
            if reset and sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        for pump in self._pumps:
            pump.cancel()
        while self._writers:
            await asyncio.sleep(0)

    async def _end(self) -> None:
        await self._close_listener()
        await self._cut(reset=False)
