"""What time it is, by clocks of which some may be wrong. Pure.

Each clock gives an interval in which UTC lies if that clock is right. What they agree on are the
bounds within which at least `needed` intervals cover a point (K. Marzullo's algorithm, with the
number of right clocks given beforehand).

    If at least `needed` clocks are right, UTC is not before the lower bound and not after the
    upper. If fewer than `needed` are wrong, each bound is within an interval of a right clock.

Both hold when `needed` is a majority of all clocks and a minority is wrong; one that does not
answer counts as wrong. Log time goes by the lower bound, as it may be late and never early.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

MARGIN_MS: Final = 250
"""Added to a clock's reading on both sides: right clocks differ by as much."""


class Interval(NamedTuple):
    """In ms, both ends included."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2

    def widened(self, ms: float) -> Interval:
        return Interval(self.low - ms, self.high + ms)

    def meets(self, other: Interval) -> bool:
        return self.low <= other.high and other.low <= self.high


def agree(intervals: Sequence[Interval], needed: int) -> Interval | None:
    """The bounds of what at least `needed` of the intervals cover; None when they cover no
    point."""
    assert needed >= 1
    if len(intervals) < needed:
        return None
    # Where an interval begins as another ends, both cover that point: beginnings come first.
    edges = [(i.low, 0) for i in intervals] + [(i.high, 1) for i in intervals]
    low: float | None = None
    high = 0.0
    covering = 0
    for at, ends in sorted(edges):
        if ends:
            if covering >= needed:
                high = at
            covering -= 1
        else:
            covering += 1
            if covering >= needed and low is None:
                low = at
    return None if low is None else Interval(low, high)


def majority(clocks: int) -> int:
    return clocks // 2 + 1
