"""A client that does what no well-behaved one would."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.servers import Server

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


class RawClient:
    """A websocket by hand; ``early`` is sent as a message together with the handshake."""

    def __init__(
        self,
        server: Server,
        path: str,
        early: bytes | None = None,
        receive_buffer: int = 0,
        cookie: str = "",
    ) -> None:
        self._socket = server.connect(receive_buffer)
        self._file = self._socket.makefile("rb")
        request = self.request(server.host, path, HANDSHAKE | {"Cookie": cookie})
        self.send_bytes(request + (self.frame(early) if early is not None else b""))
        status = self._file.readline()
        assert b" 101 " in status, status
        while self._file.readline().strip():
            pass

    @staticmethod
    def request(
        host: str,
        path: str,
        headers: dict[str, str],
        method: str = "GET",
        protocol: str = "HTTP/1.1",
    ) -> bytes:
        lines = [f"{method} {path} {protocol}", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    @classmethod
    def ask(cls, server: Server, path: str, changes: dict[str, str | None], **request: str) -> str:
        """Send a handshake with changed headers (None: without); return the whole answer."""
        headers = {n: v for n, v in (HANDSHAKE | changes).items() if v is not None}
        with server.connect() as asking:
            asking.sendall(cls.request(server.host, path, headers, **request))
            answer = b""
            while not _is_complete(answer) and (data := asking.recv(65536)):
                answer += data
        # Frames may follow a 101 at once.
        return answer.decode(errors="replace")

    @staticmethod
    def frame(payload: bytes, opcode: int = 1) -> bytes:
        """Return a masked frame of at most 125 bytes."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        return bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive_frame(self) -> tuple[int, bytes]:
        first, length = self._file.read(2)
        if length == 126:
            (length,) = struct.unpack("!H", self._file.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._file.read(8))
        return first & 15, self._file.read(length)

    def receive_message(self) -> bytes:
        opcode, payload = self.receive_frame()
        while opcode == 9:
            opcode, payload = self.receive_frame()
        assert opcode in (1, 2), (opcode, payload)
        return payload

    def receive_close_frame(self) -> int:
        """Return the code of the server's close frame, whatever comes before it."""
        opcode, payload = self.receive_frame()
        while opcode != 8:
            opcode, payload = self.receive_frame()
        return int.from_bytes(payload[:2], "big")

    def receive_close(self) -> int:
        """Return the code of the server's close frame, and see that the connection ends."""
        opcode, payload = self.receive_frame()
        while opcode == 9:
            opcode, payload = self.receive_frame()
        assert opcode == 8, (opcode, payload)
        assert self._file.read() == b""
        return int.from_bytes(payload[:2], "big")

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def reset(self) -> None:
        """Vanish without a word."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def is_ended(self) -> bool:
        """Read all that is there; return whether the server ended the connection."""
        try:
            while self._file.read(65536):
                pass
        except TimeoutError:
            return False
        except (ConnectionResetError, ssl.SSLError):
            pass
        return True


def _is_complete(answer: bytes) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    if separator and head.startswith(b"HTTP/1.1 101 "):
        return True
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if separator and name.lower() == b"content-length":
            return len(body) >= int(value)
    return False
