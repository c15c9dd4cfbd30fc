"""Hooks of the test project that do what their request asks for, which is mostly wrong."""

from __future__ import annotations

import asyncio
import builtins
import threading
from collections.abc import Iterator
from typing import Any

import gevent
import greenlet
from django.core import exceptions
from django.http import Http404, HttpResponseForbidden
from django.utils.datastructures import MultiValueDict

SECRET = "the password is 7Hjk2"
"""What stands in each exception."""

OTHER_ERRORS: dict[str, Any] = {
    "Http404": Http404,
    "PermissionDenied": exceptions.PermissionDenied,
    "SuspiciousOperation": exceptions.SuspiciousOperation,
    "GreenletExit": greenlet.GreenletExit,
    "CancelledError": asyncio.CancelledError,
    "Timeout": lambda text: gevent.Timeout(1, text),
    "BaseExceptionGroup": lambda text: BaseExceptionGroup(text, [SystemExit(text)]),
}


def _fail(name: str) -> None:
    error = OTHER_ERRORS.get(name) or getattr(builtins, name)
    raise error(SECRET) if name != "PermissionDenied" else error


def _generate(names: list[str]) -> Iterator[str]:
    yield from names


def _generate_and_fail(names: list[str]) -> Iterator[str]:
    yield from names
    raise ValueError(SECRET)


async def _await(names: list[str]) -> list[str]:
    return names


class Greedy(list[str]):
    """Claims to hold everything."""

    def __contains__(self, name: object) -> bool:
        return True


RETURNS: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "generator": _generate,
    "everything": lambda names: ["subscribe-broadcast", "subscribe-user", "publish-broadcast"],
    "greedy": lambda names: Greedy(["unknown"]),
    "empty": lambda names: [],
    "unknown": lambda names: [None, 3, "subscribe-everything", b"subscribe-broadcast", *names[:1]],
    "none": lambda names: None,
    "text": " ".join,
    "one-text": lambda names: names[0],
    "bytes": lambda names: names[0].encode(),
    "true": lambda names: True,
    "false": lambda names: False,
    "number": len,
    "mapping": lambda names: dict.fromkeys(names, False),
    "multimapping": lambda names: MultiValueDict({name: [] for name in names}),
    "unhashable": lambda names: [names],
    "generator-that-fails": _generate_and_fail,
    "coroutine": _await,
    "response": lambda names: HttpResponseForbidden(SECRET),
    "class": lambda names: list,
    "object": lambda names: object(),
}

hold = threading.Event()
"""Is never set."""


def _do(request: Any, names: list[str]) -> Any:
    if error := request.GET.get("raise"):
        _fail(error)
    if "hang" in request.GET:
        hold.wait()
    return RETURNS[request.GET.get("return", "none")](names)


def allowed_channels(request: Any, channels: list[str]) -> Any:
    return _do(request, channels) if request.GET.get("in") == "policy" else channels


def process_request(request: Any) -> Any:
    return _do(request, ["subscribe-broadcast"]) if request.GET.get("in") == "identity" else None


class Callable:
    """A hook that is an object."""

    def __call__(self, request: Any, channels: list[str]) -> list[str]:
        return [name for name in channels if name.startswith("subscribe-")]


listening = Callable()
