"""Is a history of unit increments and reads of one counter linearizable? Answered in n log n,
unknown outcomes included.

An increment by one tells its caller the value it made, and no two make the same one: the value *is*
the increment's place in the order. So nothing has to be searched, only checked, on a line of
places:

1. An increment acknowledged with v stands at place v, alone. A read answered with v stands
   behind place v and before place v+1, with any number of other reads.
2. Time agrees with places: nothing ended before something at a lower place began.
3. A place below the highest one seen, at which no acknowledged increment stands, was made by an
   increment whose outcome its caller never learned. That one must have begun before anything above
   its place ended, and each can fill one place only. Going up the places, the time until which a
   filler may have begun only grows; so it is enough to count: at the n-th empty place, n unknown
   increments must have begun in time.

An increment that certainly was not executed does not belong in a history. One whose outcome is
unknown may have been executed at any time after it began, or never. Times are seconds of one clock;
ends that touch are taken as overlapping.

Read the name of the returned violation as the headline and its text as the evidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Operation:
    kind: Literal["add", "get"]
    start: float
    end: float
    value: int | None
    """The caller's reply. None: an add whose outcome is unknown."""

    def __str__(self) -> str:
        outcome = "outcome unknown" if self.value is None else f"-> {self.value}"
        return f"{self.kind} {outcome} [{self.start:.6f} .. {self.end:.6f}]"


@dataclass(frozen=True, slots=True)
class Violation:
    name: Literal["phantom", "doubled", "out of order", "lost"]
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


def from_load(history: Iterable[Sequence[object]]) -> list[Operation]:
    """The `history` of a result of `countercluster.load --history`."""
    return [Operation(*entry) for entry in history]  # type: ignore[arg-type]


def check(operations: Iterable[Operation], initial: int = 0) -> Violation | None:
    """The first violation found, or None when the history is linearizable for a counter that
    started at `initial`."""
    known: list[tuple[float, Operation]] = []
    unknown_starts: list[float] = []
    for operation in operations:
        if operation.value is None:
            if operation.kind == "add":
                unknown_starts.append(operation.start)
            continue
        place = operation.value - initial + (0.5 if operation.kind == "get" else 0.0)
        known.append((place, operation))
    known.sort(key=lambda entry: entry[0])
    unknown_starts.sort()
    return (
        _impossible_places(known) or _out_of_order(known) or _unfilled_places(known, unknown_starts)
    )


def _impossible_places(known: list[tuple[float, Operation]]) -> Violation | None:
    before: tuple[float, Operation] | None = None
    for place, operation in known:
        if place < (1 if operation.kind == "add" else 0):
            return Violation("phantom", f"{operation} lies below what the counter started with")
        if operation.kind == "add":
            if before is not None and before[0] == place:
                return Violation(
                    "doubled",
                    f"two increments were answered the same value: {before[1]} and {operation}",
                )
            before = (place, operation)
    return None


def _out_of_order(known: list[tuple[float, Operation]]) -> Violation | None:
    """Rule 2, from the top down: whatever begins must begin before the earliest end above it."""
    earliest: Operation | None = None
    at_place: Operation | None = (
        None  # of the earliest end among those at the current place, which do not bind each other
    )
    current = math.inf
    for place, operation in reversed(known):
        if place != current:
            if at_place is not None and (earliest is None or at_place.end < earliest.end):
                earliest = at_place
            current, at_place = place, None
        if earliest is not None and operation.start > earliest.end:
            return Violation(
                "out of order",
                f"{operation} began after {earliest} had ended, yet stands before it",
            )
        if at_place is None or operation.end < at_place.end:
            at_place = operation
    return None


def _unfilled_places(
    known: list[tuple[float, Operation]], unknown_starts: list[float]
) -> Violation | None:
    """Rule 3. Places between two neighbours of `known` share one limit: the earliest end at or
    above the upper neighbour."""
    limits = [math.inf] * len(known)
    earliest = math.inf
    for position in range(len(known) - 1, -1, -1):
        earliest = min(earliest, known[position][1].end)
        limits[position] = earliest
    empty, in_time, filled = 0, 0, 0
    for (place, operation), limit in zip(known, limits, strict=True):
        # Places up to and including the one below this operation's own; a read stands behind its
        # place.
        below = math.floor(place) if operation.kind == "get" else int(place) - 1
        empty += max(0, below - filled)
        filled = max(filled, math.floor(place))
        while in_time < len(unknown_starts) and unknown_starts[in_time] <= limit:
            in_time += 1
        if empty > in_time:
            return Violation(
                "lost",
                f"{operation} needs {empty} increments below it that nobody has a reply for, but "
                f"only {in_time} of unknown outcome began "
                f"in time ({limit:.6f}): either an acknowledged one was lost or one was counted "
                f"twice",
            )
    return None
