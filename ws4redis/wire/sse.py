"""Server-Sent Events, as an ``EventSource`` reads them (HTML standard, section 9.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

from ws4redis.exceptions import HandshakeError

CONTENT_TYPE = "text/event-stream"
COMMENT = b":\n\n"
"""What no page sees, but each proxy on the way."""
HEADERS = (
    ("Content-Type", CONTENT_TYPE),
    ("Cache-Control", "no-store"),
    ("Connection", "close"),
    # nginx would collect some kilobytes first.
    ("X-Accel-Buffering", "no"),
)

_LINE = b"\ndata: "


def event(data: bytes, *, name: str = "", place: str = "", retry: int | None = None) -> bytes:
    """Return one event.

    Args:
        data: Text in UTF-8. Each of CR LF, CR and LF comes out as LF.
        name: Its type; empty for ``message``.
        place: What the browser hands back when it comes again; empty for what it has already.
        retry: Milliseconds after which it is to come again, from now on.

    Raises:
        ValueError: The name or the place holds what would end it.
    """
    fields = [("event", name), ("id", place), ("retry", "" if retry is None else str(retry))]
    if any(character in value for _, value in fields for character in "\r\n\0"):
        raise ValueError(f"An event can't have {name!r} and {place!r}.")
    head = "".join(f"{field}: {value}\n" for field, value in fields if value)
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", _LINE)
    return b"%sdata: %s\n\n" % (head.encode(), lines)


def placed(event: bytes, place: str) -> bytes:
    """Return an event that has no id with one."""
    return b"id: %s\n%s" % (place.encode(), event)


def accepts(header: str) -> bool:
    """Return whether an ``Accept`` header asks for a stream of events by name."""
    ranges = (part.partition(";")[0].strip().lower() for part in header.split(","))
    return CONTENT_TYPE in ranges


def encode_places(positions: Iterable[tuple[str, str]]) -> str:
    """Return the id of an event: where each channel is, ``CHANNEL@POSITION`` with commas between.

    What a header can't hold, and a comma, is percent-encoded in the name of a channel.
    """
    return ",".join(f"{quote(name, safe=_SAFE)}@{position}" for name, position in positions)


def decode_places(header: str) -> Mapping[str, str]:
    """Return where each channel was, from what a browser hands back (``Last-Event-ID``).

    Raises:
        HandshakeError: It is none of our ids.
    """
    return dict(_decode_place(part) for part in header.split(",") if part)


_SAFE = "!#$&'()*+-./:;<=>?@[]^_`{|}~"
"""ASCII without space, ``%`` and comma."""


def _decode_place(part: str) -> tuple[str, str]:
    name, separator, position = part.rpartition("@")
    if not separator or not name:
        raise misplaced("Last-Event-ID", part)
    return unquote(name), position


def misplaced(name: str, value: str) -> HandshakeError:
    """Return the refusal of what says where a client was, and can't be read."""
    return HandshakeError(
        400,
        f"{name} must be CHANNEL@POSITION, such as broadcast:chat@6fa90e33:7.",
        detail=f"It is {value[:200]!r}.",
    )
