"""How many bytes the replicated state takes, counted alike on every replica.

What a process really holds differs from one to the next by its allocator and its history, so it
cannot decide whether a counter is refused: replicas would differ. The state counts what it holds in
units that follow from its contents alone. The weights are what a node needs for each thing,
measured (`python -m benchmarks.weights`) where tables have just grown, when that is most, and
rounded up.

A node makes a snapshot beside its state, and one that receives a snapshot makes its state beside
that. Half as much as the state may take is set apart for it (memory.py). A long name takes as much
in a snapshot as in the state, so both together count as well (`taken`): else the members of a
cluster of long names ended in their first snapshot.

They are part of level 4: another number would make a replica refuse what others take.
"""

from __future__ import annotations

from typing import Final

KEY: Final = 150
"""A counter beside its name: its places in the table and in the index, the value, the head of the
name."""
DEADLINE: Final = 190
"""An expiry: its place in the table and in the schedule."""
OWNER: Final = 70
"""Whom a counter belongs to: its place in a table; for counters of users with a limit alone."""
PRODUCER: Final = 600
"""A producer beside its name and its remembered sequences."""
SLOT: Final = 10
"""A remembered sequence of a producer."""
WATCH: Final = 400
WATCHED_KEY: Final = 400
"""A key of a watch, beside its name."""
SESSION: Final = 200
SCRIPT: Final = 400
"""A script that EVALSHA finds, beside its text, which counts twice."""
DUMPED: Final = 14
"""In a snapshot: a counter, an expiry or an owner beside the name. At most 5 bytes stand before the
name, and a number takes 9."""


def with_dump(most: int) -> int:
    """What the state and its dump come to at most, where `taken` may be so much."""
    return most + most // 2


def taken(state: int, dump: int) -> int:
    """What counts for the limit: the state, or two thirds of it and its dump."""
    return max(state, (state + dump) * 2 // 3)
