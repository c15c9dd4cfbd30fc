"""Remembers when a request read its first data, so that its page can miss no message since then.

It is written for synchronous code. Django runs it in the thread in which the ORM works for that
request, so that it also serves asynchronous views; these lose what a chain of purely asynchronous
middleware saves.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from django.core.exceptions import MiddlewareNotUsed
from django.db import connections
from django.http import FileResponse, HttpRequest, HttpResponseBase

from ws4redis import page
from ws4redis.conf import get_histories


class PositionsMiddleware:
    """Calls ``ws4redis.page.mark`` before the first query of a request, on whatever database.

    Requests that query nothing cost nothing.

    Args:
        get_response: See Django.

    Raises:
        MiddlewareNotUsed: No channel has a history.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if not get_histories():
            raise MiddlewareNotUsed("WS4REDIS_HISTORY is empty.")
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request."""
        page.watch(request)
        with ExitStack() as stack:
            for alias in connections:
                stack.enter_context(connections[alias].execute_wrapper(partial(_query, request)))
            response = self._get_response(request)
        # What it queries while it is sent, nobody watches. A file queries nothing.
        if response.streaming and not isinstance(response, FileResponse):
            page.mark(request)
        return response


def _query(request: HttpRequest, execute: Callable[..., Any], *query: Any) -> Any:
    page.mark(request)
    return execute(*query)
