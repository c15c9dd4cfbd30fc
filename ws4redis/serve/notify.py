"""Tells systemd what the service is doing (sd_notify(3)); elsewhere it does nothing."""

from __future__ import annotations

import logging
import os
import socket
import time

logger = logging.getLogger(__name__)


def ready(status: str) -> None:
    """The service serves.

    Args:
        status: What ``systemctl status`` shows.
    """
    _notify("READY=1", f"STATUS={status}")


def reloading() -> None:
    """New processes are being started; ``ready()`` will follow."""
    _notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """The service is about to end."""
    _notify("STOPPING=1")


def _notify(*assignments: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    # A leading @ stands for the zero byte of an abstract address.
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto("\n".join(assignments).encode(), address)
        except OSError as error:
            # The variable may be that of another service, in whose shell this one was started.
            logger.warning("systemd can't be told at %r: %s", address, error)
