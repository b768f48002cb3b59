"""Many increments of few counters, as they stand in the log.

A hot counter gets hundreds of increments in one batch. In the log, on the way to the others, and in
what they execute, those are one operation for each counter (`ops.TIMES`); only the gateway whose
clients wait for the single values executes them singly, from its own list.

Both ways leave the same state behind: increments by one of different counters do not touch each
other; those of the same counter are alike, so that as many are refused at the upper end; and
counters appear in the same order, so that the same are refused when there is room for no more."""

from __future__ import annotations

from collections import Counter
from typing import Final

from counter_node.counters.batches import Op
from counter_node.counters.ops import TIMES

LEAST: Final = 3
_SAMPLE: Final = 32


def together(ops: list[Op]) -> list[Op]:
    """What does the same as these commands, in fewer operations if they are increments of few
    counters; else the commands as they are."""
    if len(ops) < LEAST:
        return ops
    try:
        sample = ops[:_SAMPLE]
        if 2 * len(set(sample)) > len(sample):
            return ops
        times = Counter(ops)
    except (
        TypeError
    ):  # not only plain increments: operations with arguments are lists, which have no hash
        return ops
    return [key if n == 1 else [TIMES, key, n] for key, n in times.items()]
