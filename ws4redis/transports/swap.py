"""Takes a socket away from a server that will shut it down when the request ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import gevent.monkey

# Where a process is monkey-patched, the loop still drives plain sockets by the hub's callbacks.
plain_socket: type[socket.socket] = gevent.monkey.get_original("socket", "socket")
_socketpair = gevent.monkey.get_original("socket", "socketpair")


def duplicate(descriptor: int) -> socket.socket:
    """Return a second socket object for a descriptor, on a descriptor of its own."""
    return plain_socket(fileno=os.dup(descriptor))


def swap(descriptor: int) -> socket.socket:
    """Return the socket behind a descriptor, and put a closed one in its place.

    ``shutdown()`` reaches through a duplicate, so the server must be left with something else.
    """
    taken = duplicate(descriptor)
    left, right = _socketpair()
    with left, right:
        os.dup2(left.fileno(), descriptor)
    return taken


@contextmanager
def closed_on_error(taken: socket.socket) -> Iterator[None]:
    """Close a taken socket at once if its client can't be answered any more."""
    try:
        yield
    except BaseException:
        taken.close()
        raise
