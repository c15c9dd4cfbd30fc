"""A client for streams of events that knows nothing of ours: it reads them as the standard says."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from tests.servers import Server


@dataclass
class Event:
    """One event, as a page gets it."""

    type: str
    data: str
    last_event_id: str
    retry: int | None

    @property
    def head(self) -> dict[str, Any]:
        """The first line of the data."""
        head: dict[str, Any] = json.loads(self.data.partition("\n")[0])
        return head

    @property
    def payload(self) -> str:
        """The data behind its first line."""
        return self.data.partition("\n")[2]


@dataclass
class Parser:
    """Lines in, events out (HTML standard, section 9.2.6)."""

    last_event_id: str = ""
    comments: int = 0
    retry: int | None = None
    _data: list[str] = field(default_factory=list)
    _type: str = ""
    _id: str = ""

    def feed(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments += 1
        elif name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            # It counts when the event is complete.
            self._id = value
        elif name == "retry" and re.fullmatch("[0-9]+", value):
            self.retry = int(value)
        return None

    def _dispatch(self) -> Event | None:
        data, kind = self._data, self._type or "message"
        self._data, self._type = [], ""
        self.last_event_id = self._id
        if not data:
            return None
        return Event(kind, "\n".join(data), self.last_event_id, self.retry)


def parse(stream: bytes) -> list[Event]:
    """Return the events of a whole stream."""
    parser = Parser()
    lines = re.split("\r\n|\n|\r", stream.decode())
    return [event for line in lines if (event := parser.feed(line)) is not None]


class EventSource:
    """A stream of a server, whether or not something on the way cuts it into chunks.

    Args:
        server: The server.
        address: The facility and the flags.
        last_event_id: Where an earlier stream ended.
        receive_buffer: Bytes that the kernel takes for a client that does not read.
        headers: Further headers.
    """

    def __init__(
        self,
        server: Server,
        address: str,
        last_event_id: str = "",
        receive_buffer: int = 0,
        **headers: str,
    ) -> None:
        self._connection = http.client.HTTPConnection(server.host, timeout=PATIENCE)
        self._connection.sock = server.connect(receive_buffer)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if last_event_id:
            names["Last-Event-ID"] = last_event_id
        self._connection.request(
            "GET", f"/ws/{address}", headers={"Accept": "text/event-stream", **names}
        )
        self.response = self._connection.getresponse()
        self.parser = Parser(_id=last_event_id)

    @property
    def status(self) -> int:
        return self.response.status

    def events(self) -> Iterator[Event]:
        """Yield events until the stream ends."""
        while line := self._line():
            if (event := self.parser.feed(line.decode().removesuffix("\n"))) is not None:
                yield event

    def next(self, kind: str = "message") -> Event:
        """Return the next event, which must be of a kind."""
        event = next(self.events(), None)
        assert event is not None, "the stream ended"
        assert event.type == kind, event
        return event

    def wait_for_comment(self) -> None:
        """Read up to the next comment."""
        seen = self.parser.comments
        while self.parser.comments == seen:
            line = self._line()
            assert line, "the stream ended"
            assert self.parser.feed(line.decode().removesuffix("\n")) is None, line

    def _line(self) -> bytes:
        try:
            return self.response.readline()
        except (ConnectionError, http.client.IncompleteRead):
            # Whoever sent it was killed.
            return b""

    def close(self) -> None:
        self.response.close()
        self._connection.close()
