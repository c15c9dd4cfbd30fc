"""Wakes the greenlets in which a view, or another fetcher, waits for the hub."""

from __future__ import annotations

from typing import Any

import gevent
from gevent.hub import Waiter


class GreenSignal:
    """Wakes greenlets of the hub, on which it is set.

    It does less than gevent's event, of whose memory each view that waits had its part.
    """

    __slots__ = ("_is_set", "_waiters")

    def __init__(self) -> None:
        self._is_set = False
        self._waiters: tuple[Any, ...] = ()

    def set(self) -> None:
        """Let all go on that wait, soon."""
        self._is_set = True
        waiters, self._waiters = self._waiters, ()
        for waiter in waiters:
            gevent.get_hub().loop.run_callback(waiter.switch, True)

    def clear(self) -> None:
        """Let those wait that come."""
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set; return False if it was not, in so many seconds."""
        if self._is_set:
            return True
        waiter = Waiter()
        self._waiters = (*self._waiters, waiter)
        if timeout is None:
            return bool(waiter.get())
        late = gevent.Timeout.start_new(timeout)
        try:
            return bool(waiter.get())
        except gevent.Timeout as error:
            if error is not late:
                raise
            return False
        finally:
            late.close()
            self._waiters = tuple(one for one in self._waiters if one is not waiter)
