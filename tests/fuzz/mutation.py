"""Changes of inputs that a seed repeats exactly."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

MAX_SIZE = 4096
"""Bytes of a changed input."""
MAX_CHANGES = 4
_TELLING = (0, 1, 0x7D, 0x7E, 0x7F, 0x80, 0x81, 0x88, 0xA0, 0xED, 0xFF, *b'\r\n\t ,;:="%[]\\')
"""Bytes that mean something to one of the parsers."""


def mutations(inputs: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Yield changed inputs without end."""
    chance = random.Random(seed)
    while True:
        data = bytearray(chance.choice(inputs))
        for _ in range(chance.randint(1, MAX_CHANGES)):
            change = chance.choice(_CHANGES)
            change(chance, data, chance.choice(inputs))
        yield bytes(data[:MAX_SIZE])


def _place(chance: random.Random, data: bytes | bytearray) -> slice:
    start, end = sorted(chance.choices(range(len(data) + 1), k=2))
    return slice(start, end)


def _set(chance: random.Random, data: bytearray, other: bytes) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.choice((chance.randrange(256), *_TELLING))


def _flip(chance: random.Random, data: bytearray, other: bytes) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _remove(chance: random.Random, data: bytearray, other: bytes) -> None:
    del data[_place(chance, data)]


def _repeat(chance: random.Random, data: bytearray, other: bytes) -> None:
    place = _place(chance, data)
    data[place.stop : place.stop] = data[place] * chance.randint(1, 8)


def _splice(chance: random.Random, data: bytearray, other: bytes) -> None:
    data[_place(chance, data)] = other[_place(chance, other)]


def _append(chance: random.Random, data: bytearray, other: bytes) -> None:
    data += other


_CHANGES: tuple[Callable[[random.Random, bytearray, bytes], None], ...] = (
    _set,
    _flip,
    _remove,
    _repeat,
    _splice,
    _append,
)
