"""Where the listeners of ``serve`` come from."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ws4redis.serve import inheritance
from ws4redis.serve.listener import Places, SocketFile, UnixRights, from_systemd, open_places

FILE = SocketFile("/a/file", 1, 2)


def test_sockets_of_systemd_are_those_of_one_process_only() -> None:
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid() + 1)}
    assert from_systemd(environ, os.getpid()) == []
    assert from_systemd({}, os.getpid()) == []


def test_an_address_of_ipv6_has_brackets() -> None:
    places = open_places(["[::1]:0"], UnixRights())
    assert places.listeners[0].family is socket.AF_INET6
    assert str(places) == f"[::1]:{places.listeners[0].getsockname()[1]}"
    places.close()


def test_if_one_address_fails_nothing_is_left_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "web.socket"
    with pytest.raises(ValueError, match="Can't listen at 'nonsense'"):
        open_places([f"unix:{path}", "nonsense"], UnixRights())
    assert not path.exists()


def test_what_is_handed_down_is_read_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours, theirs = socket.socketpair()
        copy, end = listener.dup(), theirs.dup()
        heir = inheritance.read(inheritance.for_child(Places((copy,), (FILE,)), end))
        for detached in (copy, end):
            detached.detach()
        assert heir is not None
        assert heir.places.listeners[0].getsockname() == listener.getsockname()
        assert heir.places.files == ()
        assert heir.lifeline is not None
        heir.lifeline.send(b"1")
        assert ours.recv(1) == b"1"
        for one in (*heir.places.listeners, heir.lifeline, ours, theirs):
            one.close()


def test_nobody_else_inherits() -> None:
    assert inheritance.read({}) is None


def test_a_successor_has_to_clean_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        copy = listener.dup()
        heir = inheritance.read(inheritance.for_successor(Places((copy,), (FILE,))))
        copy.detach()
        assert heir is not None
        assert heir.lifeline is None
        assert heir.places.files == (FILE,)
        heir.places.listeners[0].close()


def test_the_socket_of_another_server_stays(tmp_path: Path) -> None:
    path = tmp_path / "web.socket"
    first = open_places([f"unix:{path}"], UnixRights())
    path.unlink()
    second = open_places([f"unix:{path}"], UnixRights())
    first.close()
    assert path.exists()
    second.close()
    assert not path.exists()
