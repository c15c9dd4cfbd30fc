"""The sockets that ``serve`` listens on: its own, or those that somebody opened for it."""

from __future__ import annotations

import grp
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BACKLOG = 4096
"""Handshakes that may wait for the loop; after a restart all clients come at once."""
FIRST_DESCRIPTOR = 3
"""Where systemd puts the first socket (sd_listen_fds(3))."""
UNIX = "unix:"


@dataclass(frozen=True, slots=True)
class UnixRights:
    """Who may connect to a unix socket."""

    mode: int = 0o666
    group: str | None = None


def open_listener(bind: str, rights: UnixRights) -> socket.socket:
    """Return a listening socket.

    Args:
        bind: ``HOST:PORT``, ``[IPV6]:PORT`` or ``unix:PATH``.
        rights: Who may connect, if it is a unix socket.

    Raises:
        OSError: The address is taken or can't be used.
        ValueError: The address is malformed.
    """
    if bind.startswith(UNIX):
        return _listen_unix(bind.removeprefix(UNIX), rights)
    host, separator, port = bind.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise ValueError("it must be HOST:PORT or unix:PATH")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return _listen(listener, (host.strip("[]"), int(port)))


def from_systemd(environ: Mapping[str, str], process: int) -> list[socket.socket]:
    """Return the sockets that systemd opened for a process (sd_listen_fds(3)); mostly none.

    Args:
        environ: The environment of the process.
        process: Its id; the variables may have been meant for its parent.
    """
    if environ.get("LISTEN_PID") != str(process):
        return []
    count = int(environ.get("LISTEN_FDS", "0"))
    return from_descriptors(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count))


def from_descriptors(descriptors: Any) -> list[socket.socket]:
    """Return the listening sockets behind some inherited descriptors."""
    listeners = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    for listener in listeners:
        listener.set_inheritable(False)
    return listeners


def name(listener: socket.socket) -> str:
    """Return the address of a listener as ``--bind`` takes it."""
    address = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"{UNIX}{address}"
    host = f"[{address[0]}]" if listener.family == socket.AF_INET6 else address[0]
    return f"{host}:{address[1]}"


def remove_files(binds: list[str]) -> None:
    """Remove the unix sockets of some addresses."""
    for bind in binds:
        if bind.startswith(UNIX):
            Path(bind.removeprefix(UNIX)).unlink(missing_ok=True)


def _listen(listener: socket.socket, address: Any) -> socket.socket:
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _listen_unix(path: str, rights: UnixRights) -> socket.socket:
    if rights.group is not None and rights.group not in {entry.gr_name for entry in grp.getgrall()}:
        raise ValueError(f"there is no group {rights.group!r}")
    _remove_stale(path)
    # From its first moment on, nobody else may connect.
    with _umask(0o777 & ~rights.mode):
        listener = _listen(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), path)
    if rights.group is not None:
        shutil.chown(path, group=rights.group)
    return listener


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def _remove_stale(path: str) -> None:
    """Remove the socket file that a killed server left behind, unless one still listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            # Any other file refuses connections just the same.
            if not Path(path).is_socket():
                raise OSError("there is a file that is no socket") from None
            Path(path).unlink(missing_ok=True)
        else:
            raise OSError("another server listens there")
