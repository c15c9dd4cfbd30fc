"""Judges what clients noted, beside what was published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

GAP = ""
"""What a client notes when it is told that something is gone."""

Record = Sequence[str]
"""What one client noted, in its order: ``publisher:number`` of each message, and gaps."""

Published = Mapping[str, int]
"""How many messages each publisher published; their numbers begin with 0."""


@dataclass(kw_only=True)
class Verdict:
    """What became of all that was due to some clients."""

    due: int = 0
    delivered: int = 0
    lost: int = 0
    """Did not come, and nobody told the client."""
    told: int = 0
    """Did not come, and the client was told of a gap at this very place."""
    duplicated: int = 0
    disordered: int = 0
    """Came after a later one of the same publisher, or in another order than to other clients."""
    gaps: int = 0
    """Times that a client was told of a gap."""

    def __add__(self, other: Verdict) -> Verdict:
        names = [field.name for field in fields(self)]
        return Verdict(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def holds(self, is_gone: bool) -> bool:
        """Return whether all came once and in order, or, what is gone, the clients were told."""
        is_told = self.gaps > 0
        return not (self.lost or self.duplicated or self.disordered) and is_told == is_gone


def judge(records: Iterable[Record], published: Published) -> Verdict:
    """Return what became of the messages to all clients of a channel together."""
    records = list(records)
    order = {entry: place for place, entry in enumerate(_first_comings(max(records, key=len)))}
    return sum((_judge_one(record, published, order) for record in records), Verdict())


def _first_comings(record: Record) -> list[str]:
    return [entry for entry in dict.fromkeys(record) if entry != GAP]


def _judge_one(record: Record, published: Published, order: Mapping[str, int]) -> Verdict:
    verdict = Verdict(due=sum(published.values()))
    seen: set[str] = set()
    # Of each publisher: the number of its latest message, and how many gaps were told before that.
    latest = dict.fromkeys(published, (-1, 0))
    farthest = -1
    holes = []
    for entry in record:
        if entry == GAP:
            verdict.gaps += 1
        elif entry in seen:
            verdict.duplicated += 1
        else:
            seen.add(entry)
            name, _, digits = entry.rpartition(":")
            number, place = int(digits), order.get(entry, farthest)
            before, gaps = latest[name]
            verdict.disordered += number < before or place < farthest
            farthest = max(farthest, place)
            if number > before:
                holes.append((name, range(before + 1, number), verdict.gaps > gaps))
                latest[name] = (number, verdict.gaps)
    for name, count in published.items():
        before, gaps = latest[name]
        holes.append((name, range(before + 1, count), verdict.gaps > gaps))
    for name, numbers, is_told in holes:
        missing = sum(f"{name}:{number}" not in seen for number in numbers)
        verdict.told += missing if is_told else 0
        verdict.lost += 0 if is_told else missing
    verdict.delivered = len(seen)
    return verdict
