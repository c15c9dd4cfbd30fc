"""Measures what compression costs the server and saves on the wire, beside the same without it.

make compression, or: python compression.py [--rounds N]

The messages are JSON as sites send it: a list of chat lines whose words are drawn at random.
"""

from __future__ import annotations

import argparse
import base64
import os
import selectors
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from chatter import OFFER, chat
from contenders import ADDRESS
from interrupts import unwind_at_sigterm
from processes import Process
from publishers import CHANNEL
from redis import Redis
from servers import site_environment, start_redis, start_server

SIZES = (1024, 4096, 16384)
"""Bytes of a message."""
LOADS = ((1, 3000, 300), (100, 200, 20))
"""Websockets, messages, and messages in a second."""
VARIANTS = 50
"""Messages that differ."""
END = b"that was all"
PATIENCE = 30.0


class Receivers:
    """Websockets that count what comes; with or without compression.

    Args:
        port: Of the server.
        count: How many websockets.
        compressed: Whether they offer compression.
    """

    def __init__(self, port: int, count: int, *, compressed: bool) -> None:
        self._selector = selectors.DefaultSelector()
        self._tails: dict[socket.socket, bytes] = {}
        self.size = 0
        for _ in range(count):
            client = _opened(port, f"{OFFER}\r\n" if compressed else "")
            self._selector.register(client, selectors.EVENT_READ)
            self._tails[client] = b""

    def drain(self, until: float) -> None:
        """Read until a time of ``time.monotonic()``."""
        while (left := until - time.monotonic()) > 0:
            self._read(left)

    def drain_to_end(self) -> None:
        """Read until the last message came to everybody."""
        deadline = time.monotonic() + PATIENCE
        while not all(tail.endswith(END) for tail in self._tails.values()):
            if time.monotonic() > deadline:
                raise TimeoutError("Some messages did not come.")
            self._read(0.1)

    def close(self) -> None:
        """Close all websockets."""
        for client in self._tails:
            client.close()
        self._selector.close()

    def _read(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            client = key.fileobj
            assert isinstance(client, socket.socket)
            data = client.recv(2**18)
            self.size += len(data)
            self._tails[client] = (self._tails[client] + data)[-len(END) :]


def main() -> None:
    """Measure, and print a table."""
    options = _options()
    unwind_at_sigterm()
    print("| bytes | receivers | processor time, compressed / plain | bytes, compressed / plain |")
    print("|---|---|---|---|")
    for count, messages, rate in LOADS:
        for size in SIZES:
            ratios = [_compare(size, count, messages, rate) for _ in range(options.rounds)]
            cpu, sent = (statistics.median(column) for column in zip(*ratios, strict=True))
            spread = f"{min(one[0] for one in ratios):.2f}-{max(one[0] for one in ratios):.2f}"
            print(f"| {size} | {count} | {cpu:.2f} ({spread}) | {sent:.2f} |", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def _compare(size: int, *load: int) -> tuple[float, float]:
    """Return the ratios of processor time and of bytes, compressed to plain."""
    plain = _measure(size, *load, compressed=False)
    packed = _measure(size, *load, compressed=True)
    return packed[0] / plain[0], packed[1] / plain[1]


def _measure(
    size: int, count: int, messages: int, rate: int, *, compressed: bool
) -> tuple[float, float]:
    """Return the seconds of the server's processor, and the bytes that it sent."""
    texts = [chat(size, seed) for seed in range(VARIANTS)]
    with _arena() as (client, server, port):
        receivers = Receivers(port, count, compressed=compressed)
        before = server.cpu()
        due = time.monotonic()
        for number in range(messages):
            client.publish(CHANNEL, texts[number % VARIANTS])
            due += 1 / rate
            receivers.drain(due)
        client.publish(CHANNEL, END)
        receivers.drain_to_end()
        seconds = server.cpu() - before
        receivers.close()
        return seconds, receivers.size


@contextmanager
def _arena() -> Iterator[tuple[Redis, Process, int]]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ws4redis-")))
        client, path = start_redis(stack, directory)
        server, port = start_server(stack, "serve", path, site_environment(path))
        yield client, server, port


def _opened(port: int, header: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), PATIENCE)
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET {ADDRESS} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        f"{header}\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += client.recv(1)
    if b" 101 " not in answer or (b"permessage-deflate" in answer) != bool(header):
        sys.exit(f"The server answered {answer!r}.")
    return client


if __name__ == "__main__":
    main()
