"""Notes what goes wrong on the hub without anybody's noticing."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import Any
from unittest import mock

import gevent


def noted_errors(stack: ExitStack) -> list[Any]:
    """Return a list that gets each exception that is logged, or that reaches the hub.

    Args:
        stack: Ends it.
    """
    errors: list[Any] = []
    handler = logging.Handler()
    handler.emit = lambda record: errors.append(record.exc_info) if record.exc_info else None
    log = logging.getLogger("ws4redis")
    log.addHandler(handler)
    stack.callback(log.removeHandler, handler)
    note = mock.patch.object(gevent.get_hub(), "handle_error", lambda *error: errors.append(error))
    stack.enter_context(note)
    return errors
