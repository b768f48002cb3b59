"""The tables of counters: a mapping of names in `PARTS` dictionaries, so that none of them ever
grows for long.

A dictionary that is full is copied into one twice as large, at once: 40 ms at two million names,
200 ms at ten. Of a table in 64 parts each is copied by itself, in 1 to 4 ms, and not all with the
same name, as no part is as full as its neighbour. What is there twice meanwhile is one part, too.

A name's part follows from Python's own hash, which the name remembers: looking it up costs nothing.
That hash is another one in each process. So the order of such a table is nobody's business: who
wants an order asks the index (keyspace.py), whose order is the same everywhere.

`Parts` is here in Python, and compiled (`fast/table.pyx`) where counter_node/compiled.py says
so."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from counter_node.compiled import compiled

V = TypeVar("V")
PARTS: Final = 64
_SHIFT: Final = 40
"""Higher bits than those by which a dictionary finds its places: else all names of a part would
begin at the same few."""
SHRINK_FROM_BYTES: Final = 64 << 10
SHRINK_BYTES_PER_ENTRY: Final = 400
"""A dictionary takes 45 to 110 bytes for each of its names."""


class PureParts(Generic[V]):
    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[dict[bytes, V]] = [{} for _ in range(PARTS)]

    def part(self, key: bytes) -> dict[bytes, V]:
        return self.parts[hash(key) >> _SHIFT & PARTS - 1]

    def __getitem__(self, key: bytes) -> V:
        return self.parts[hash(key) >> _SHIFT & PARTS - 1][key]

    def __setitem__(self, key: bytes, value: V) -> None:
        self.parts[hash(key) >> _SHIFT & PARTS - 1][key] = value

    def __delitem__(self, key: bytes) -> None:
        del self.parts[hash(key) >> _SHIFT & PARTS - 1][key]

    def __contains__(self, key: object) -> bool:
        return key in self.parts[hash(key) >> _SHIFT & PARTS - 1]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def get(self, key: bytes, default: V | None = None) -> V | None:  # type: ignore[override, unused-ignore]
        return self.parts[hash(key) >> _SHIFT & PARTS - 1].get(key, default)

    def pop(self, key: bytes, default: V | None = None) -> V | None:  # type: ignore[override, unused-ignore]
        """Never raises."""
        return self.parts[hash(key) >> _SHIFT & PARTS - 1].pop(key, default)

    def absorb(self, piece: Mapping[bytes, V]) -> None:
        """As `update` of a dictionary."""
        parts = self.parts
        for key, value in piece.items():
            parts[hash(key) >> _SHIFT & PARTS - 1][key] = value


if TYPE_CHECKING:
    Parts = PureParts
else:
    _fast = compiled("table")
    Parts = PureParts if _fast is None else _fast.Parts


class Table(Parts[V], MutableMapping[bytes, V]):  # type: ignore[misc]
    """What is done with all names at once is for tests and small tables: it takes its time."""

    __slots__ = ("_next_to_shrink",)

    def __init__(self) -> None:
        super().__init__()
        self._next_to_shrink = 0

    def __iter__(self) -> Iterator[bytes]:
        for part in self.parts:
            yield from part

    def __bool__(self) -> bool:
        return any(self.parts)

    def shrink(self) -> None:
        """A dictionary stays as large as it was when most was in it. One part, another with each
        call, is rebuilt if it holds little now."""
        number = self._next_to_shrink
        self._next_to_shrink = (number + 1) % PARTS
        part = self.parts[number]
        size = sys.getsizeof(part)
        if size > SHRINK_FROM_BYTES and size > SHRINK_BYTES_PER_ENTRY * len(part):
            self.parts[number] = dict(part)
