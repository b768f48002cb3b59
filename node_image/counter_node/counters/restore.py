"""A state made from a snapshot's bytes, piece by piece, so that a node that gets one goes on
answering its peers.

The bytes are an array (dump.py): format, log time, values, deadlines, sessions, producers, and then
`Rest`, field by field. To decode a million counters in one call holds the interpreter for a third
of a second, on whatever thread. So the maps and the list of producers are cut where a piece of them
ends, which takes a look at each head in between, and each piece is decoded by itself.

The memory of a snapshot and of what is made from it are there at once; nothing else is copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from counter_node.counters.accounts import Row
from counter_node.counters.dump import FORMAT, array_header, map_header
from counter_node.counters.errors import SnapshotFormatError
from counter_node.counters.history import Lineage
from counter_node.counters.keyspace import KeyIndex
from counter_node.counters.producers import MOST, Producers
from counter_node.counters.script_table import ScriptTable
from counter_node.counters.sessions import Sessions
from counter_node.counters.state import MAX_KEYS, State
from counter_node.counters.table import Table

PIECE = 2_000
_NIL: Final = b"\xc0"
ROWS = 200
_decode = msgspec.msgpack.decode
_INTEGERS: Final = {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}
"""Bytes of an integer with such a head; any other head is the integer itself."""


class Rest(msgspec.Struct, array_like=True):
    """What follows the tables. New fields come last and have a default."""

    max_keys: int = MAX_KEYS
    watches: list[Any] = []
    level: int = 1
    max_producers: int = MOST
    calendar: tuple[int, bool, int, int, int] = (0, False, 0, 0, 0)
    """Offset in ms, whether it was agreed on, jumps, their sum in ms, and marks. A snapshot from
    before level 4 has none: its log time was a wall's, so that log time itself is UTC as far as it
    is known."""
    since_gap: list[bytes] | None = None
    lineage: Lineage = ()
    max_bytes: int = 0
    accounts: list[Row] = []
    owners: dict[bytes, int] = {}
    scripts: tuple[list[bytes], list[bytes]] = ([], [])
    """Loaded ones, and those of EVAL (script_table.py); since level 5."""


class Restore:
    def __init__(
        self,
        data: bytes,
        knows: int,
        state: State,
        sessions: Sessions,
        producers: Producers,
        scripts: ScriptTable,
    ) -> None:
        """The tables are empty."""
        self._data = data
        self._at = 0
        self._knows = knows
        self._state, self._sessions, self._producers = state, sessions, producers
        self._scripts = scripts
        self.level = 1
        self.lineage: Lineage = ()
        self._pieces: Iterator[bool] = self._work()

    def step(self) -> bool:
        """One piece. True when all is done. Raises SnapshotFormatError for a format or a level of
        the future."""
        done = next(self._pieces, True)
        if done:
            self.close()
        return done

    def close(self) -> None:
        """Also of one that is given up. The snapshot's bytes go with the last reference to this,
        and not when the collector of garbage comes by."""
        self._pieces = iter(())

    def _work(self) -> Iterator[bool]:
        fields = self._count(0x90, 0xDC)
        found = self._value()
        if found != FORMAT:
            raise SnapshotFormatError(
                f"snapshot of format {found}; this version reads {FORMAT}. Upgrade this node"
            )
        time_ms = self._value()
        state = self._state
        count = self._count(0x80, 0xDE)
        state.index = KeyIndex(count)
        for _ in state.index.make_room():
            yield False
        for size in _parts(count, PIECE):
            state.take_values(self._pairs(size))
            yield False
        for size in _parts(self._count(0x80, 0xDE), PIECE):
            state.take_deadlines(self._pairs(size))
            yield False
        self._sessions.load(self._value())
        yield False
        for size in _parts(self._count(0x90, 0xDC), ROWS):
            begin = self._at
            for _ in range(size):
                self._at = _end(self._data, self._at)
            self._producers.load(_decode(array_header(size) + self._data[begin : self._at]))
            yield False
        yield from self._take_rest(max(0, fields - 6))
        state.loaded(time_ms)
        yield True

    def _take_rest(self, count: int) -> Iterator[bool]:
        """So many fields. Those that may be long are taken in pieces, and stand here as if they
        were empty; what is not known is left."""
        state, fields = self._state, list[bytes]()
        for field in msgspec.structs.fields(Rest)[:count]:
            if field.name == "watches":
                yield from self._watches()
                fields.append(array_header(0))
            elif field.name == "since_gap" and self._data[self._at] != _NIL[0]:
                yield from self._since_gap()
                fields.append(_NIL)
            elif field.name == "owners":  # after the accounts that they belong to
                state.accounts.load(_decode(fields[-1], type=list[Row]))
                for size in _parts(self._count(0x80, 0xDE), PIECE):
                    state.take_owners(self._pairs(size))
                    yield False
                fields.append(map_header(0))
            else:
                begin = self._at
                self._at = _end(self._data, begin)
                fields.append(self._data[begin : self._at])
        rest = _decode(array_header(len(fields)) + b"".join(fields), type=Rest)
        if rest.level > self._knows:
            raise SnapshotFormatError(
                f"snapshot of a cluster at level {rest.level}; this version knows {self._knows}. "
                f"Upgrade this node"
            )
        self.level, self.lineage = rest.level, rest.lineage
        state.max_keys, state.max_bytes = rest.max_keys, rest.max_bytes
        state.restore_calendar(*rest.calendar)
        self._producers.most = rest.max_producers
        self._scripts.take(*rest.scripts)

    def _watches(self) -> Iterator[bool]:
        for _ in range(self._count(0x90, 0xDC)):
            assert self._count(0x90, 0xDC) == 4, "a watch has four fields"
            name, began_ms, broken = self._value(), self._value(), self._value()
            for size in _parts(self._count(0x90, 0xDC), PIECE):
                self._state.watches.load(
                    name, began_ms, broken, [self._value() for _ in range(size)]
                )
                yield False

    def _since_gap(self) -> Iterator[bool]:
        since_gap = self._state.since_gap = Table()
        for size in _parts(self._count(0x90, 0xDC), PIECE):
            since_gap.absorb(dict.fromkeys([self._value() for _ in range(size)]))
            yield False

    def _value(self) -> Any:
        begin = self._at
        self._at = _end(self._data, begin)
        return _decode(self._data[begin : self._at])

    def _count(self, short: int, long: int) -> int:
        """Of a map or an array that begins here."""
        self._at, count = _head(self._data, self._at, short, long)
        return count

    def _pairs(self, count: int) -> dict[bytes, int]:
        """The next pairs of a map from names to integers."""
        data = self._data
        begin = at = self._at
        for _ in range(count):
            head = data[at]
            if head == 0xC4:
                at += 2 + data[at + 1]
            else:
                at = _end(data, at)
            at += _INTEGERS.get(data[at], 1)
        self._at = at
        return _decode(map_header(count) + data[begin:at], type=dict[bytes, int])


def _parts(count: int, most: int) -> Iterator[int]:
    for start in range(0, count, most):
        yield min(most, count - start)


def _head(data: bytes, at: int, short: int, long: int) -> tuple[int, int]:
    """Where the elements of a map or an array begin, and how many there are."""
    head = data[at]
    if head & 0xF0 == short:
        return at + 1, head & 0x0F
    size = {long: 2, long + 1: 4}.get(head)
    if size is None:
        raise msgspec.DecodeError(
            f"byte {at} of the snapshot is {head:#x}, not the beginning of a table"
        )
    return at + 1 + size, int.from_bytes(data[at + 1 : at + 1 + size], "big")


def _end(data: bytes, at: int) -> int:
    """Where the value that begins here ends; of the kinds that a snapshot has."""
    head = data[at]
    if head in (0xC4, 0xC5, 0xC6):  # bytes
        size = 1 << (head - 0xC4)
        return at + 1 + size + int.from_bytes(data[at + 1 : at + 1 + size], "big")
    if head & 0xE0 == 0xA0:  # text
        return at + 1 + (head & 0x1F)
    if head in (0xD9, 0xDA, 0xDB):
        size = 1 << (head - 0xD9)
        return at + 1 + size + int.from_bytes(data[at + 1 : at + 1 + size], "big")
    if 0x80 <= head < 0xA0 or head in (0xDC, 0xDD, 0xDE, 0xDF):
        is_map = head & 0xF0 == 0x80 or head >= 0xDE
        at, count = _head(data, at, 0x80, 0xDE) if is_map else _head(data, at, 0x90, 0xDC)
        for _ in range(count * (2 if is_map else 1)):
            at = _end(data, at)
        return at
    return at + _INTEGERS.get(head, 9 if head == 0xCB else 1)
