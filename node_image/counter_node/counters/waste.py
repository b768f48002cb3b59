"""Tables that nobody needs any more, given back a slice at a time.

To free ten million counters takes a second, and whoever drops the last reference to their table
waits for it. So whoever replaces a table puts the old one here, and each turn of the loop takes
some of it apart. It is no part of the state: nobody can tell when it is done."""

from __future__ import annotations

from typing import Any, Final

SLICE: Final = 20_000
"""Entries of a table freed in one turn: some 4 ms."""
_PER_BUCKET: Final = 100


class Waste:
    def __init__(self) -> None:
        self._tables: list[Any] = []
        self.freed = 0  # entries so far

    def __bool__(self) -> bool:
        return bool(self._tables)

    def add(self, *tables: Any) -> None:
        """Dictionaries, and lists; a list of lists counts by what is in them."""
        self._tables += [table for table in tables if table]

    def free(self, most: int = SLICE) -> None:
        """One slice. Tables that share their entries go one after the other: the last reference is
        what costs."""
        tables, before = self._tables, most
        while tables and most > 0:
            table = tables[-1]
            if isinstance(table, dict):
                count = min(len(table), most)
                for _ in range(count):
                    table.popitem()
                most -= count
            else:
                nested = isinstance(table[-1], list)
                count = min(len(table), max(1, most // _PER_BUCKET) if nested else most)
                del table[len(table) - count :]
                most -= count * (_PER_BUCKET if nested else 1)
            if not table:
                tables.pop()
        self.freed += before - most
