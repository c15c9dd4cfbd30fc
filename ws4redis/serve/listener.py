"""The sockets that ``serve`` listens on: its own, or those that somebody opened for it."""

from __future__ import annotations

import contextlib
import grp
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True, slots=True)
class SocketFile:
    """The file of a unix socket that this process made, and has to remove in the end."""

    path: str
    device: int
    inode: int

    @classmethod
    def at(cls, path: str) -> SocketFile:
        """Return the file that is there."""
        found = os.stat(path)
        return cls(path, found.st_dev, found.st_ino)

    def remove(self) -> None:
        """Remove the file, unless it is gone or that of another server by now."""
        with contextlib.suppress(FileNotFoundError):
            if SocketFile.at(self.path) == self:
                os.unlink(self.path)


@dataclass(frozen=True, slots=True)
class Places:
    """Where websockets are accepted."""

    listeners: tuple[socket.socket, ...]
    files: tuple[SocketFile, ...] = ()

    def __str__(self) -> str:
        return ", ".join(_name(one) for one in self.listeners)

    def close(self) -> None:
        """Accept nothing any more. The files go first: a successor may bind the same paths next."""
        for file in self.files:
            file.remove()
        for listener in self.listeners:
            listener.close()


def open_places(binds: Sequence[str], rights: UnixRights) -> Places:
    """Listen at some addresses.

    Args:
        binds: Each ``HOST:PORT``, ``[IPV6]:PORT`` or ``unix:PATH``.
        rights: Who may connect to those that are unix sockets.

    Raises:
        ValueError: An address is malformed, taken, or can't be used; names it.
    """
    places = Places(())
    for bind in binds:
        try:
            opened = _open(bind, rights)
        except (OSError, ValueError) as error:
            places.close()
            raise ValueError(f"Can't listen at {bind!r}: {error}") from error
        is_file = bind.startswith(UNIX)
        files = (SocketFile.at(bind.removeprefix(UNIX)),) if is_file else ()
        places = Places((*places.listeners, opened), (*places.files, *files))
    return places


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


def from_descriptors(descriptors: Iterable[int]) -> list[socket.socket]:
    """Return the sockets behind some inherited descriptors."""
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    for one in sockets:
        one.set_inheritable(False)
    return sockets


def _name(listener: socket.socket) -> str:
    """Return the address of a listener as ``--bind`` takes it."""
    address = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"{UNIX}{address}"
    host = f"[{address[0]}]" if listener.family == socket.AF_INET6 else address[0]
    return f"{host}:{address[1]}"


def _open(bind: str, rights: UnixRights) -> socket.socket:
    if bind.startswith(UNIX):
        return _open_unix(bind.removeprefix(UNIX), rights)
    host, separator, port = bind.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise ValueError("it must be HOST:PORT or unix:PATH")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    with _closed_on_error(listener):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host.strip("[]"), int(port)))
        listener.listen(BACKLOG)
    return listener


def _open_unix(path: str, rights: UnixRights) -> socket.socket:
    group = -1 if rights.group is None else _group_id(rights.group)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _closed_on_error(listener):
        listener.bind(path)
        try:
            os.chown(path, -1, group)
            os.chmod(path, rights.mode)
        except OSError:
            Path(path).unlink(missing_ok=True)
            raise
        # Before this, nobody can connect.
        listener.listen(BACKLOG)
    return listener


def _group_id(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise ValueError(f"there is no group {name!r}") from error


@contextmanager
def _closed_on_error(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except OSError:
        sock.close()
        raise


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
