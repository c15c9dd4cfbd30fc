"""Every exception of ws4redis; each one carries the answer it leads to.

* ``WS4RedisError``

  * ``HandshakeError`` – an HTTP answer instead of an upgrade (``status``, ``message``, ``headers``)

    * ``UpgradeRequired`` – 426, names the version we speak

  * ``ProtocolError`` – the peer broke RFC 6455 (``close_code``, ``reason``)

    * ``PayloadTooBig`` – 1009
    * ``InvalidPayload`` – 1007

  * ``ConnectionClosed`` – something was sent to a websocket that is gone
  * ``BadMessage`` – a client sent what its view does not take; 1007
  * ``ChannelError`` – a name that can't be part of a channel
  * ``BusError`` – Redis could not be reached or did not answer in time; worth a retry
  * ``TransportError`` – this server's socket can't be taken over; says what to change

* ``HookTimeout`` – a hook of the site takes too long; no ``Exception``
"""

from __future__ import annotations


class WS4RedisError(Exception):
    """Base of every exception that ws4redis raises on purpose."""


class HandshakeError(WS4RedisError):
    """A websocket request is refused with an HTTP answer.

    Args:
        status: HTTP status code of the answer.
        message: One sentence for the body; it must not contain any foreign exception's text.
        headers: Additional response headers.
        detail: What the log says besides; the client does not see it.
    """

    def __init__(
        self,
        status: int,
        message: str,
        headers: tuple[tuple[str, str], ...] = (),
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers
        self.detail = detail


class UpgradeRequired(HandshakeError):
    """The client speaks no version of the protocol that we speak (RFC 6455, section 4.4)."""

    def __init__(self, message: str) -> None:
        super().__init__(426, message, (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")))


class ProtocolError(WS4RedisError):
    """The peer broke RFC 6455.

    Args:
        close_code: Code of the close frame that answers it.
        reason: Fixed sentence for the close frame.
    """

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(reason)
        self.close_code = close_code
        self.reason = reason


class PayloadTooBig(ProtocolError):
    """A message is larger than the limit."""

    def __init__(self, reason: str) -> None:
        super().__init__(1009, reason)


class InvalidPayload(ProtocolError):
    """Text that is not UTF-8."""

    def __init__(self, reason: str) -> None:
        super().__init__(1007, reason)


class ConnectionClosed(WS4RedisError):
    """Something was sent to a websocket that is closed already."""


class BadMessage(WS4RedisError, ValueError):
    """A client sent what its view does not take: a view that raises it is closed with 1007.

    The log tells it in a line, without a traceback.
    """


class ChannelError(WS4RedisError, ValueError):
    """A name can't be part of a channel."""


class BusError(WS4RedisError):
    """Redis could not be reached, refused, or did not answer in time; a later retry may succeed."""


class TransportError(WS4RedisError):
    """The socket of this server can't be taken over; the message names the way out."""


class HookTimeout(BaseException):
    """A hook of the site takes too long.

    It is raised inside of the hook where that runs in a greenlet, and is no ``Exception``, so that
    the hook takes it for none of its own troubles.
    """
