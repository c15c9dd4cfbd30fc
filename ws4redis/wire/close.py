"""Close codes, and the payload of a close frame (RFC 6455, section 7.4)."""

from __future__ import annotations

from enum import IntEnum

from ws4redis.exceptions import InvalidPayload, ProtocolError

MAX_REASON = 123
"""Bytes: a control frame holds 125 (section 5.5), of which the code takes two."""


class CloseCode(IntEnum):
    """Why a websocket ended (section 7.4.1 and the IANA registry)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    RIGHTS_CHANGED = 4001
    """Of ours: come back, as the handshake would now have another outcome."""
    EXPELLED = 4501
    """Of ours: do not come back by yourself."""
    MISUSED = 4502
    """Of ours: you do not speak the subprotocol that you chose; do not come back by yourself."""


_RESERVED = frozenset({1004, 1005, 1006, 1015})


def may_return(code: int) -> bool:
    """Return whether a client may come back by itself after a close code."""
    return code != CloseCode.POLICY_VIOLATION and not 4500 <= code <= 4999


def may_be_received(code: int) -> bool:
    """Return whether a code may stand in a close frame."""
    return (1000 <= code <= 1014 and code not in _RESERVED) or 3000 <= code <= 4999


def encode_close(code: int, reason: str = "") -> bytes:
    """Return the payload of a close frame.

    Args:
        code: Why; 1005 stands for a frame without code.
        reason: For people; cut to 123 bytes at a character.

    Raises:
        ValueError: The code may not be sent.
    """
    if code == CloseCode.NO_STATUS:
        return b""
    if not may_be_received(code):
        raise ValueError(f"The close code {code} may not be sent.")
    cut = reason.encode()[:MAX_REASON].decode(errors="ignore")
    return code.to_bytes(2, "big") + cut.encode()


def decode_close(payload: bytes) -> tuple[int, str]:
    """Return the code and the reason of a close frame; 1005 if it has none.

    Raises:
        ProtocolError: It is too short, or the code may not be sent.
        InvalidPayload: The reason is not UTF-8.
    """
    if not payload:
        return CloseCode.NO_STATUS, ""
    if len(payload) == 1:
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, "A close frame of one byte.")
    code = int.from_bytes(payload[:2], "big")
    if not may_be_received(code):
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, "A close code that may not be sent.")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise InvalidPayload("A close reason that is not UTF-8.") from None
