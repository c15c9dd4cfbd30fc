"""Spreads items over one interval, so that a single timer serves each of them once in it."""

from __future__ import annotations

from typing import Generic, TypeVar

Item = TypeVar("Item")


class Wheel(Generic[Item]):
    """A ring of slots; each turn of the wheel serves one slot.

    Args:
        slots: Number of turns that make one interval.
    """

    def __init__(self, slots: int) -> None:
        self._slots: list[set[Item]] = [set() for _ in range(max(1, slots))]
        self._next_turn = 0
        self._next_place = 0

    def add(self, item: Item) -> int:
        """Place an item; return its slot, which ``discard`` wants to know."""
        self._next_place = (self._next_place + 1) % len(self._slots)
        self._slots[self._next_place].add(item)
        return self._next_place

    def discard(self, item: Item, slot: int) -> None:
        """Take an item out; nothing happens if it isn't there."""
        self._slots[slot].discard(item)

    def turn(self) -> tuple[Item, ...]:
        """Return the items whose turn it is."""
        self._next_turn = (self._next_turn + 1) % len(self._slots)
        return tuple(self._slots[self._next_turn])
