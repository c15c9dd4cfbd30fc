"""The subprotocol ``ws4redis.v1``: a line of JSON, the head, and the payload behind it.

See ``docs/reference/protocol.md``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ws4redis.exceptions import ProtocolError
from ws4redis.wire.close import CloseCode, may_return
from ws4redis.wire.frames import Opcode, encode_frame

PROTOCOL = "ws4redis.v1"
SPREAD = 2000
"""Milliseconds over which those come back whose connections are closed together."""

_dump = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Subscribe:
    """The client wants the channels of a facility, too."""

    id: int
    facility: str
    flags: tuple[str, ...]
    """As in an address, such as ``subscribe-broadcast``."""
    since: Mapping[str, str] = field(default_factory=dict)
    """Positions by channel."""
    token: str = ""
    """What a page gave it instead."""


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """The client wants nothing more of a facility."""

    id: int
    facility: str


@dataclass(frozen=True, slots=True)
class Publish:
    """The client has a message for the channels of a facility that it may write."""

    id: int | None
    facility: str
    payload: bytes


Command = Subscribe | Unsubscribe | Publish


def parse(data: bytes) -> Command:
    """Return what a client asks for.

    Args:
        data: The message that it sent.

    Raises:
        ProtocolError: It is none of the commands.
    """
    line, _, payload = data.partition(b"\n")
    try:
        return _parse(json.loads(line), payload)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ProtocolError(CloseCode.MISUSED, f"That is no command of {PROTOCOL}.") from error


def _parse(head: Any, payload: bytes) -> Command:
    kind, facility = head["type"], _text(head["facility"])
    if kind == "publish":
        return Publish(_number(head["id"]) if "id" in head else None, facility, payload)
    if kind == "unsubscribe":
        return Unsubscribe(_number(head["id"]), facility)
    if kind == "subscribe":
        return _subscribe(head, facility)
    raise ValueError(kind)


def _subscribe(head: Any, facility: str) -> Subscribe:
    flags = [_text(flag) for flag in _list(head["channels"])]
    if head.get("echo"):
        flags.append("echo")
    since = {_text(channel): _text(position) for channel, position in head.get("since", {}).items()}
    return Subscribe(
        _number(head["id"]), facility, tuple(flags), since, _text(head.get("from") or "")
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    # JSON can say what is no text, and what nobody could write into an address.
    value.encode()
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(value)
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(value)
    return value


def control(kind: str, **values: Any) -> bytes:
    """Return the frame of a head without a payload.

    Args:
        kind: Its type.
        values: What else it says; None says nothing.
    """
    return encode_frame(Opcode.TEXT, head(kind, **values))


def head(kind: str, **values: Any) -> bytes:
    """Return a line of JSON, without its end."""
    said = {name: value for name, value in values.items() if value is not None}
    return _dump({"type": kind, **said}).encode()


def closing(code: int, reason: str) -> dict[str, Any]:
    """Return what is said of the end: whether to come back, and when."""
    is_welcome = may_return(code)
    return {
        "code": int(code),
        "reconnect": is_welcome,
        "delay": random.randrange(SPREAD) if is_welcome else None,
        "reason": reason,
    }


def message(
    channel: str, position: str, payload: bytes, *, is_persisted: bool, **more: Any
) -> bytes:
    """Return the data of a message.

    Args:
        channel: As clients see it; empty for none.
        position: Where the channel is with it; empty if it has no history.
        payload: The message.
        is_persisted: Whether it is the last message of the channel, for one who is new.
        more: What else its head says.
    """
    line = head(
        "message",
        channel=channel or None,
        position=position or None,
        persisted=True if is_persisted else None,
        **more,
    )
    return line + b"\n" + payload
