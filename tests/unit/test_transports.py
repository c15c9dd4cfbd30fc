from __future__ import annotations

import socket

import pytest

from ws4redis.exceptions import TransportError
from ws4redis.transports import find
from ws4redis.transports.swap import duplicate, swap


def test_an_unknown_server_is_named_with_the_way_out() -> None:
    with pytest.raises(TransportError, match=r"'Foo/1\.0'.*ws4redis serve"):
        find({"SERVER_SOFTWARE": "Foo/1.0"}, lambda *_: None)


def test_a_swapped_socket_outlives_the_shutdown_of_its_old_descriptor() -> None:
    old, peer = socket.socketpair()
    with old, peer:
        taken = swap(old.fileno())
        with taken:
            old.shutdown(socket.SHUT_RDWR)
            old.close()
            taken.sendall(b"still there")
            assert peer.recv(100) == b"still there"


def test_a_duplicate_outlives_the_close_of_its_original() -> None:
    old, peer = socket.socketpair()
    with peer:
        taken = duplicate(old.fileno())
        old.close()
        with taken:
            taken.sendall(b"still there")
            assert peer.recv(100) == b"still there"
