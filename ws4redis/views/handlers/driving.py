"""Runs handlers that are generators.

Each handler has a thread or greenlet of its own, so whatever waits may wait right where it is
called. What it returns can also stand behind ``yield from``, and is then its own result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any, Generic, Self, TypeVar

Value = TypeVar("Value")


class Done(Generic[Value]):
    """The result of something that has happened already, for ``yield from``.

    Args:
        value: The result.
    """

    def __init__(self, value: Value) -> None:
        self.value = value

    def __iter__(self) -> Generator[Any, None, Value]:
        yield from ()
        return self.value


class DoneSelf:
    """Something that is its own result behind ``yield from``."""

    def __iter__(self) -> Generator[Any, None, Self]:
        yield from ()
        return self


def drive(handler: Any) -> None:
    """Run what a handler returned to its end, if it is a generator.

    Raises:
        TypeError: It yields something, other than by ``yield from``.
    """
    if not isinstance(handler, Generator):
        return
    for yielded in handler:
        kind = type(yielded).__name__
        with contextlib.suppress(StopIteration):
            handler.throw(TypeError(f"A handler may only 'yield from', not 'yield' a {kind}."))
