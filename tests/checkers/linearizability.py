"""Is a small history of mixed operations linearizable? The search of Wing and Gong with Lowe's
memory of states already tried.

An operation is a call with a start and an end; a model says what each does to a state and which
result it must then have. The history is linearizable when the operations can be put in an order
that the model allows, in which nothing stands before what had ended before it began. Operations of
unknown outcome have an infinite end: they may stand anywhere after their start, or never happen at
all.

The cost is exponential in how many operations overlap, so split histories by key and keep a few
dozen operations overlapping at most; increments by one have a checker of their own (increments.py),
which is fast for millions. `BUDGET` ends a search that would never end."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

BUDGET = 2_000_000


class Undecided(Exception):
    """The search was given up; the history says neither yes nor no."""


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: tuple[Any, ...]
    result: Any
    start: float
    end: float = math.inf
    """Infinite: the outcome is unknown, and `result` means nothing."""

    @property
    def known(self) -> bool:
        return self.end != math.inf


Model = Callable[[Any, Call], tuple[Any, Any]]
"""(state, call) → (state after it, what it returns). States are hashable."""


def counter(state: int | None, call: Call) -> tuple[int | None, Any]:
    """One key of the counters: None when it does not exist. Replies as redis-py gives them to a
    caller that wants numbers."""
    value = state or 0
    if call.name == "get":
        return state, state
    if call.name == "incrby":
        return value + call.arguments[0], value + call.arguments[0]
    if call.name == "getdel":
        return None, state
    if call.name == "set":
        return call.arguments[0], True
    if call.name == "setnx":
        return (call.arguments[0], True) if state is None else (state, False)
    raise ValueError(f"the model of a counter knows no {call.name}")


def linearizable(calls: Sequence[Call], initial: Hashable = None, model: Model = counter) -> bool:
    """Raises Undecided when the search takes more than `BUDGET` steps."""
    ordered = sorted(calls, key=lambda call: call.start)
    everything = sum(1 << n for n, call in enumerate(ordered) if call.known)
    tried: set[tuple[int, Hashable]] = set()
    stack: list[tuple[int, Hashable]] = [(0, initial)]
    steps = 0
    while stack:
        done, state = stack.pop()
        if done & everything == everything:
            return True
        if (done, state) in tried:
            continue
        tried.add((done, state))
        # Whatever comes next began before the first end among those that are left.
        limit = min(call.end for n, call in enumerate(ordered) if not done >> n & 1)
        for number, call in enumerate(ordered):
            if call.start > limit:
                break
            steps += 1
            if not done >> number & 1:
                after, result = model(state, call)
                if not call.known or result == call.result:
                    stack.append((done | 1 << number, after))
        if steps > BUDGET:
            raise Undecided(f"{len(calls)} calls, {steps} steps")
    return False
