"""How ``serve`` takes requests off the network: each in time, and of a bounded size.

gevent's own handler waits for a request as long as it takes, holds headers of many megabytes, and
reads the body of a request that nobody asked for. Here the whole head is read before it is parsed,
and the body of a POST only when it is asked for.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import socket
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import gevent
from gevent.pywsgi import WSGIHandler

from ws4redis import flood
from ws4redis.answers import REFUSED_HEADER

logger = flood.clients.guard(logging.getLogger(__name__))

HEAD_LIMIT = 2**15
"""Bytes of a request line and its headers, as nginx and uWSGI bound them, too."""
LINES = 100
"""Headers."""
LINGER = 1.0
"""Seconds for which the rest of a refused request is read, so that its answer gets through."""
READ_SIZE = 4096
BODY_READ_SIZE = 2**16

_BEGIN = re.compile(rb"[\r\nA-Za-z]")
_END = re.compile(rb"\r?\n\r?\n")
_LONGEST_END = 4
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_REASONS = {
    400: "it is malformed",
    408: "it did not end in time",
    431: "its headers are too many or too long",
}


class _TooBig(Exception):
    """The head of a request is beyond its bounds."""


class _NoRequest(Exception):
    """What comes is not even the beginning of a request, such as that of TLS."""


class Body:
    """The body of a request, as ``wsgi.input``: it is read when somebody asks for it.

    Args:
        sock: Where it comes from.
        begin: What came of it together with the head.
        length: Its bytes.
        timeout: Seconds for all that is read at once.
        is_awaited: Whether the client sends nothing before it is told to go on.
    """

    def __init__(
        self, sock: Any, begin: bytes, length: int, timeout: float, is_awaited: bool
    ) -> None:
        self._sock = sock
        self._begin = begin
        self._timeout = timeout
        self._is_awaited = is_awaited
        self.left = length
        """Bytes that nobody has read."""

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes, or fewer if there are no more; all by default.

        Raises:
            TimeoutError: They did not come in time.
            OSError: The client is gone.
        """
        wanted = self.left if size < 0 else min(size, self.left)
        data, self._begin = bytearray(self._begin[:wanted]), self._begin[wanted:]
        with gevent.Timeout(self._timeout, TimeoutError()):
            self._fill(data, wanted)
        self.left -= len(data)
        return bytes(data)

    def _fill(self, data: bytearray, wanted: int) -> None:
        if self._is_awaited and len(data) < wanted:
            self._is_awaited = False
            self._sock.sendall(_CONTINUE)
        while len(data) < wanted:
            piece = self._sock.recv(min(wanted - len(data), BODY_READ_SIZE))
            if not piece:
                return
            data += piece


class Handler(WSGIHandler):  # type: ignore[misc]
    """One connection that is no websocket yet.

    Args:
        timeout: Seconds for the head of the request, for its body, and for what is written to the
            client.
        sock: The connection.
        address: Where the client is.
        server: What accepted the connection.
    """

    rfile: Any
    content_length: int | None
    _encoding: str | None = None
    """That of a body whose length nobody knows."""

    # A client that does not take its answer is as usual as one that is gone.
    ignored_socket_errors = (*WSGIHandler.ignored_socket_errors, "timed out")

    def __init__(self, timeout: float, sock: Any, address: Any, server: Any) -> None:
        super().__init__(sock, address, server, rfile=io.BytesIO())
        self._timeout = timeout
        self._body: Body | None = None

    def handle_one_request(self) -> Any:
        """Read a request, and answer it; return whether another may follow."""
        self.socket.settimeout(self._timeout)
        # What came together with the request before.
        head = bytearray(self.rfile.read())
        try:
            with gevent.Timeout(self._timeout, TimeoutError()):
                is_whole = _read_head(self.socket, head)
        except (TimeoutError, _TooBig, _NoRequest, OSError) as error:
            is_whole = False
            self._give_up(error, head)
        self.rfile = io.BufferedReader(io.BytesIO(head), max(1, len(head)))
        return super().handle_one_request() if is_whole else None

    def read_request(self, raw_requestline: str) -> bool:
        """Parse the request. If it has a body, that is not read here, and the connection ends."""
        super().read_request(raw_requestline)
        self._body = self._encoding = None
        if self.content_length or "Transfer-Encoding" in self.headers:
            if self.command == "POST":
                self._note_body()
            self.close_connection = True
            self.content_length = None
            # gevent would read it, whether or not anybody asks for it.
            del self.headers["Content-Length"], self.headers["Transfer-Encoding"]
        return True

    def get_environ(self) -> dict[str, Any]:
        """Return the environment of the request; its body is read when somebody asks for it."""
        environ: dict[str, Any] = super().get_environ()
        if self._encoding is not None:
            environ["HTTP_TRANSFER_ENCODING"] = self._encoding
        if self._body is not None:
            environ["CONTENT_LENGTH"] = str(self._body.left)
            environ["wsgi.input"] = self._body
        return environ

    def handle_one_response(self) -> None:
        """Answer; if that refuses a body, let the client read the answer before it is cut off."""
        super().handle_one_response()
        if self._encoding is not None or (self._body is not None and self._body.left):
            with contextlib.suppress(OSError), gevent.Timeout(LINGER, False):
                self._linger()

    def _note_body(self) -> None:
        self._encoding = self.headers.get("Transfer-Encoding")
        if self._encoding is None:
            is_awaited = self.headers.get("Expect", "").lower() == "100-continue"
            length = self.content_length or 0
            self._body = Body(self.socket, self.rfile.read(), length, self._timeout, is_awaited)

    def start_response(
        self, status: str, headers: Sequence[tuple[str, str]], exc_info: Any = None
    ) -> Any:
        """Begin an answer; tell if the connection ends with it."""
        if self.close_connection and not status.startswith("101 "):
            headers = [*headers, ("Connection", "close")]
        return super().start_response(status, headers, exc_info)

    def _handle_client_error(self, error: Exception) -> tuple[str, bytes]:
        """Refuse what can't be parsed; gevent would write the request itself into the log."""
        self._log_refusal(400)
        return "400", _answer(400)

    def _give_up(self, error: Exception, head: bytearray) -> None:
        """Answer a client that is still there and has begun a request."""
        if isinstance(error, _TooBig):
            self._refuse(431)
        elif isinstance(error, _NoRequest):
            self._refuse(400)
        elif isinstance(error, TimeoutError) and head:
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        self._log_refusal(status)
        with contextlib.suppress(OSError), gevent.Timeout(LINGER, False):
            self.socket.sendall(_answer(status))
            self._linger()

    def _linger(self) -> None:
        """Read what still comes: over unread bytes, the kernel would reset the connection."""
        self.socket.shutdown(socket.SHUT_WR)
        while self.socket.recv(BODY_READ_SIZE):
            pass

    def _log_refusal(self, status: int) -> None:
        address = self.client_address
        client = address[0] if isinstance(address, tuple) else "unix"
        logger.warning("Refused a request of %s with %d: %s", client, status, _REASONS[status])


def _read_head(sock: Any, head: bytearray) -> bool:
    """Read a request line and its headers, and what came with them; return whether all is there.

    Raises:
        _TooBig: There is too much of it.
        _NoRequest: It can't become a request.
    """
    searched = 0
    while (end := _END.search(head, searched)) is None:
        if len(head) > HEAD_LIMIT:
            raise _TooBig
        searched = max(0, len(head) - _LONGEST_END)
        piece = sock.recv(READ_SIZE)
        if not piece:
            return False
        head += piece
        if not _BEGIN.match(head):
            raise _NoRequest
    # The first and the last one are no headers.
    if end.end() > HEAD_LIMIT or head.count(b"\n", 0, end.end()) > LINES + 2:
        raise _TooBig
    return True


def _answer(status: int) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Connection: close",
        "Content-Length: 0",
        f"{REFUSED_HEADER}: handshake",
    ]
    return "\r\n".join([*lines, "", ""]).encode()
