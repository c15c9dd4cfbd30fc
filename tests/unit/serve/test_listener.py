"""Where the listeners of ``serve`` come from."""

from __future__ import annotations

import os
import socket

from ws4redis.serve import inheritance
from ws4redis.serve.listener import UnixRights, from_systemd, name, open_listener


def test_sockets_of_systemd_are_those_of_one_process_only() -> None:
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid() + 1)}
    assert from_systemd(environ, os.getpid()) == []
    assert from_systemd({}, os.getpid()) == []


def test_an_address_of_ipv6_has_brackets() -> None:
    with open_listener("[::1]:0", UnixRights()) as listener:
        assert listener.family is socket.AF_INET6
        assert name(listener) == f"[::1]:{listener.getsockname()[1]}"


def test_what_is_handed_down_is_read_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours, theirs = socket.socketpair()
        copy, end = listener.dup(), theirs.dup()
        heir = inheritance.read(inheritance.environment([copy], end))
        for detached in (copy, end):
            detached.detach()
        assert heir is not None
        assert heir.listeners[0].getsockname() == listener.getsockname()
        assert heir.lifeline is not None
        heir.lifeline.send(b"1")
        assert ours.recv(1) == b"1"
        for one in (*heir.listeners, heir.lifeline, ours, theirs):
            one.close()


def test_nobody_else_inherits() -> None:
    assert inheritance.read({}) is None
