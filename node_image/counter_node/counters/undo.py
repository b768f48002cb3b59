"""What a script has changed, so that all of it can be taken back (scripts.py, tables.py).

before   counter → what it was before the script's first change of it; None: there was none
broken   watches that the script broke
aside    the tables of before the script's first FLUSHALL; what comes after it is not noted, as the
         tables that it changes are thrown away as a whole

What was due is not brought back: it is gone for everybody, removed or not."""

from __future__ import annotations

import dataclasses
from typing import Final

from counter_node.counters.accounts import Account
from counter_node.counters.keyspace import KeyIndex
from counter_node.counters.notes import Notes
from counter_node.counters.schedule import Schedule
from counter_node.counters.table import Table
from counter_node.counters.watches import Watch

Before = tuple[int | None, int | None, bool, Account | None]
"""Value, deadline, whether its time to live was given since the gap began, and its owner."""
NOTHING: Final[Before] = (None, None, False, None)


@dataclasses.dataclass(slots=True)
class Aside:
    """Tables that were replaced by empty ones."""

    values: Table[int]
    deadlines: Table[int]
    index: KeyIndex
    schedule: Schedule
    owners: Table[int]
    used: list[tuple[Account, int, int]]
    """What each account had: counters, and their bytes."""
    since_gap: Table[None] | None
    notes: Notes | None
    sizes: tuple[int, int, bool]
    """`size_bytes`, `again_bytes` and `backlog`."""


class Undo:
    __slots__ = ("aside", "before", "broken")

    def __init__(self) -> None:
        self.before: dict[bytes, Before] = {}
        self.broken: list[Watch] = []
        self.aside: Aside | None = None
