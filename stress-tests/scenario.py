"""What is compared: contenders that take turns, and bars for the ratios of their figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Figures = dict[str, float]
"""What was measured of one contender in one round, by name; the name tells the unit."""

Round = dict[str, Figures]
"""The figures of each contender in one round."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """How one figure of ours has to compare with one of a reference in the same round."""

    what: str
    """The row of the table, in words."""
    figure: str
    """Name of our figure."""
    ours: str
    """The contender whose figure it is."""
    reference: str | None
    """The contender it is compared with; None if the figure itself is judged."""
    limit: float
    """What the median of the ratios may be at most."""
    reference_figure: str = ""
    """Name of the reference's figure, if it is another one."""

    def ratios(self, rounds: Sequence[Round]) -> list[float]:
        """Return the ratio of each round in which both took part."""
        return [
            one[self.ours][self.figure] / self._base(one)
            for one in rounds
            if self.ours in one and (self.reference is None or self.reference in one)
        ]

    def holds(self, ratio: float) -> bool:
        """Return whether a ratio keeps to the limit."""
        return ratio <= self.limit

    def _base(self, figures: Round) -> float:
        if self.reference is None:
            return 1.0
        return figures[self.reference][self.reference_figure or self.figure]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """One thing that is measured of several contenders."""

    name: str
    title: str
    """One sentence."""
    contenders: tuple[str, ...]
    measure: Callable[[str], Figures]
    """Takes the name of a contender, returns its figures; starts and ends everything by itself."""
    bars: tuple[Bar, ...] = ()


def medians(rounds: Sequence[Round]) -> Round:
    """Return the median of each figure over all rounds."""
    return {
        contender: {
            name: statistics.median(one[contender][name] for one in rounds) for name in figures
        }
        for contender, figures in rounds[0].items()
    }
