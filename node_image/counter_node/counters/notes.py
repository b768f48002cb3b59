"""What a dump needs of its moment, kept by the state while the dump is made (dump.py).

before   name → value, deadline, whether its time to live was given since the gap began, and owner,
         of what has changed since; None: there was
         none
gone     names that went since, by their place in the index: the walk over the index does not meet
         them any more. (Some came back.)
waste    tables of that moment, once nobody but the dump needs them
"""

from __future__ import annotations

from typing import Any, Final
from zlib import crc32

from counter_node.counters.table import Table

Note = tuple[int | None, int | None, bool, int | None]
_CELL_BITS: Final = 20
"""A cell holds the names of 2 ** 20 places, of 2 ** 32."""


class Notes:
    __slots__ = ("_gone", "before", "gap", "waste")

    def __init__(self, gap: Table[None] | None) -> None:
        """`gap`: the state's `since_gap`."""
        self.before: Table[Note] = Table()
        self.gap = gap
        self.waste: list[Any] = []
        self._gone: dict[int, set[bytes]] = {}

    def left(self, key: bytes) -> None:
        """A counter is removed."""
        self._gone.setdefault(crc32(key) >> _CELL_BITS, set()).add(key)

    def gone(self, begin: int, end: int) -> list[bytes]:
        """Names that left and have a place from `begin` on, below `end`."""
        if not self._gone:
            return []
        cells = range(begin >> _CELL_BITS, ((end - 1) >> _CELL_BITS) + 1)
        return [
            key for cell in cells for key in self._gone.get(cell, ()) if begin <= crc32(key) < end
        ]
