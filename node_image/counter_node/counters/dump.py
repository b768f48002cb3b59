"""A snapshot's bytes, made piece by piece while the state goes on changing.

A million counters take tens of milliseconds to encode, and a turn of the loop must not. So a dump walks along the names of its moment, and the state
keeps for it what a counter was before its first change since (`state.Notes`). A name without such a note is as it was.

The bytes are exactly those that encoding the whole state at that moment would have given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import msgspec

from counter_node.counters.state import State

_encode = msgspec.msgpack.Encoder().encode
PIECE = 4_000
"""Counters encoded at a time: half a millisecond."""


class Dump:
    def __init__(self, state: State, before_tables: bytes, after_tables: bytes) -> None:
        """`before_tables` and `after_tables`: what stands before and after the two maps of counters, encoded already."""
        self._state = state
        self._values, self._deadlines = state.values, state.deadlines
        self._notes = state.begin_notes()
        self._counts = len(self._values), len(self._deadlines)
        self._out = [before_tables]
        self._after_tables = after_tables
        self._pieces = self._work()

    def step(self) -> bool:
        """Does one piece of the work. True when all is done."""
        return next(self._pieces, True)

    def finish(self) -> bytes:
        """The whole, doing whatever is left to do. When that is nothing, another thread may call this; it leaves the interpreter to others."""
        while not self.step():
            pass
        return b"".join(self._out)

    def close(self) -> None:
        """The state need not take notes any more. Also for a dump that is given up."""
        self._state.end_notes(self._notes)

    def _work(self) -> Iterator[bool]:
        yield from self._map(self._counts[0], lambda: self._notes.names, self._value)
        yield from self._map(self._counts[1], lambda: self._notes.expiring, self._deadline)
        self._out.append(self._after_tables)
        self.close()
        yield True

    def _map(self, count: int, remaining: Callable[[], Iterator[bytes]], get: Callable[[bytes], int | None]) -> Iterator[bool]:
        """`remaining` gives another iterator after a key came or went."""
        self._out.append(map_header(count))
        while piece := {name: get(name) for name in islice(remaining(), PIECE)}:
            self._out.append(_encode(piece)[len(map_header(len(piece))) :])
            yield False

    def _value(self, name: bytes) -> int | None:
        note = self._notes.before.get(name)
        return self._values[name] if note is None else note[0]

    def _deadline(self, name: bytes) -> int | None:
        note = self._notes.before.get(name)
        return self._deadlines[name] if note is None else note[1]


def map_header(count: int) -> bytes:
    """How MessagePack begins a map of `count` pairs."""
    if count < 16:
        return bytes([0x80 | count])
    if count < 1 << 16:
        return b"\xde" + count.to_bytes(2, "big")
    return b"\xdf" + count.to_bytes(4, "big")
