"""Many websockets that wait for one live message; how they wait is the caller's affair."""

from __future__ import annotations

import base64
import os
import resource
import socket
import threading
import uuid
from urllib.parse import urlsplit

URL = os.environ.get("URL", "ws://127.0.0.1:8000/ws/")
CLIENTS = int(os.environ.get("CLIENTS", "1000"))
PATIENCE = 60

_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))


class Subscribers:
    """Follows a facility of its own, so that no persisted message can be taken for the live one."""

    def __init__(self) -> None:
        self.received = 0
        self._facility = uuid.uuid4().hex
        self._message = f"live {self._facility}".encode()
        self._open = threading.Semaphore(0)
        self._lock = threading.Lock()

    def follow(self) -> None:
        """Open a websocket, and wait for the message."""
        with _opened(f"{self._facility}?subscribe-broadcast") as client:
            self._open.release()
            if _receive(client) == self._message:
                with self._lock:
                    self.received += 1

    def publish(self) -> None:
        """Send the message from another websocket once all others are open."""
        for _ in range(CLIENTS):
            if not self._open.acquire(timeout=PATIENCE):
                raise TimeoutError("Not all websockets could be opened.")
        with _opened(f"{self._facility}?subscribe-broadcast&publish-broadcast&echo") as client:
            mask = bytes(4)
            client.sendall(bytes((0x81, 0x80 | len(self._message))) + mask + self._message)
            _receive(client)


def _opened(address: str) -> socket.socket:
    parts = urlsplit(URL)
    client = socket.create_connection((parts.hostname or "", parts.port or 80), PATIENCE)
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET {parts.path}{address} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += _exactly(client, 1)
    if b" 101 " not in answer:
        raise ConnectionError(answer.decode())
    return client


def _receive(client: socket.socket) -> bytes:
    opcode, length = _exactly(client, 2)
    payload = _exactly(client, length)
    return payload if opcode == 0x81 else _receive(client)


def _exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = client.recv(size - len(data))
        if not part:
            raise ConnectionError("The server closed the connection.")
        data += part
    return data
