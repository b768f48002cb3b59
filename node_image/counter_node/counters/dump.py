"""A snapshot's bytes, made piece by piece while the state goes on changing.

A million counters take tens of milliseconds to encode, and the remembered sequences of 100,000 producers more than a second; a turn of the loop must
not. So a dump walks along the names of its moment, and the state keeps for it what a counter was before its first change since (`state.Notes`), and
the producers what a row was. A name without such a note is as it was. Sessions and watches are few, and encoded when the dump begins.

The bytes are exactly those that encoding the whole state at that moment would have given: an array of format, log time, values, deadlines, sessions,
producers, and then what restore.py names. All in the order of the tables, which is the same on every replica as all executed the same entries. (The
order of sessions and producers is state: the first is the one idle longest.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, cast

import msgspec

from counter_node.counters.producers import Name, Producers
from counter_node.counters.sessions import Sessions
from counter_node.counters.state import State

FORMAT: Final = 1
PIECE = 4_000
"""Counters encoded at a time: half a millisecond."""
ROWS = 400
"""Producers at a time, of up to 10 KiB each."""
_encode = msgspec.msgpack.Encoder().encode


class Dump:
    def __init__(self, state: State, sessions: Sessions, producers: Producers, rest: list[Any]) -> None:
        """`rest`: what follows the tables."""
        self._state, self._producers = state, producers
        self._values, self._deadlines = state.values, state.deadlines
        self._notes = state.begin_notes()
        self._counts = len(self._values), len(self._deadlines)
        self._names: list[Name] | None = producers.begin_notes()
        self._sessions = _encode(sessions.dump())
        self._rest = b"".join(map(_encode, rest))
        self._out = [bytes([0x90 | 6 + len(rest)]), _encode(FORMAT), _encode(state.time_ms)]
        self._pieces = self._work()

    def step(self) -> bool:
        """Does one piece of the work. True when all is done."""
        return next(self._pieces, True)

    def finish(self) -> bytes:
        """The whole, doing whatever is left to do. When that is nothing, another thread may call this; it leaves the interpreter to others."""
        while not self.step():
            pass
        whole = bytearray(sum(map(len, self._out)))
        at = len(whole)
        while self._out:  # from the end, each piece given back once it is copied: nothing is there twice
            piece = self._out.pop()
            whole[at - len(piece) : at] = piece
            at -= len(piece)
        return cast("bytes", whole)  # who gets it only reads

    def close(self) -> None:
        """The state need not take notes any more. Also for a dump that is given up."""
        self._state.end_notes(self._notes)
        if self._names is not None:
            self._producers.notes = self._names = None

    def _work(self) -> Iterator[bool]:
        yield from self._map(self._counts[0], lambda: self._notes.names, self._value)
        yield from self._map(self._counts[1], lambda: self._notes.expiring, self._deadline)
        self._out.append(self._sessions)
        yield from self._rows()
        self._out.append(self._rest)
        self.close()
        yield True

    def _rows(self) -> Iterator[bool]:
        assert self._names is not None
        names = self._names
        self._out.append(array_header(len(names)))
        for start in range(0, len(names), ROWS):
            self._out.append(b"".join(map(self._producers.row_of_then, names[start : start + ROWS])))
            yield False

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


def array_header(count: int) -> bytes:
    """How MessagePack begins an array of `count` elements."""
    if count < 16:
        return bytes([0x90 | count])
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


def map_header(count: int) -> bytes:
    """How MessagePack begins a map of `count` pairs."""
    if count < 16:
        return bytes([0x80 | count])
    if count < 1 << 16:
        return b"\xde" + count.to_bytes(2, "big")
    return b"\xdf" + count.to_bytes(4, "big")
