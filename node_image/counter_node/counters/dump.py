"""A snapshot's bytes, made piece by piece while the state goes on changing.

A million counters take tens of milliseconds to encode, and the remembered sequences of 100,000
producers more than a second; a turn of the loop must not. So a dump walks along the index of names,
and the state keeps for it what a counter was before its first change since, and which names went
(notes.py), and the producers what a row was. A name without such a note is as it was. Sessions and
watches are few, and encoded when the dump begins.

The bytes are exactly those that encoding the whole state at that moment would have given: an array
of format, log time, values, deadlines, sessions, producers, and then what restore.py names.
Counters come in the order of the index, which follows from their names alone, and so is the same on
every replica. (The order of sessions and producers is state: the first is the one idle longest.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, Self

import msgspec

from counter_node.counters.keyspace import PLACES, in_order
from counter_node.counters.notes import Note
from counter_node.counters.producer import Name
from counter_node.counters.producers import Producers
from counter_node.counters.sessions import Sessions
from counter_node.counters.state import State

FORMAT: Final = 1
PIECE = 2_000
"""Counters encoded at a time: a millisecond."""
ROWS = 400
"""Producers at a time, of up to 10 KiB each."""
BLOCK_BYTES: Final = 1 << 20
_encode = msgspec.msgpack.Encoder().encode


class Blocks:
    """Pieces that are put together to blocks of a MiB. A block is memory of its own, which goes
    back to the system at once; of pieces between others hundreds of MiB stayed with the allocator,
    and giving them back later held the loop."""

    def __init__(self, pieces: Iterable[bytes] = ()) -> None:
        self._blocks: list[bytes] = []
        self._small = list(pieces)
        self._bytes = sum(map(len, self._small))

    def append(self, piece: bytes) -> None:
        if len(piece) >= BLOCK_BYTES // 2:
            self._end_block()
            self._blocks.append(piece)
            return
        self._small.append(piece)
        self._bytes += len(piece)
        if self._bytes >= BLOCK_BYTES:
            self._end_block()

    def __iadd__(self, pieces: Iterable[bytes]) -> Self:
        for piece in pieces:
            self.append(piece)
        return self

    def take(self) -> list[bytes]:
        """All; nothing is left here."""
        self._end_block()
        blocks, self._blocks = self._blocks, []
        return blocks

    def _end_block(self) -> None:
        if self._small:
            self._blocks.append(b"".join(self._small))
            self._small, self._bytes = [], 0


class Dump:
    def __init__(
        self,
        state: State,
        sessions: Sessions,
        producers: Producers,
        before_gap: list[Any],
        after_gap: list[Any],
        last: list[Any],
    ) -> None:
        """`before_gap`, `after_gap`, `last`: what follows the tables, without the names of the gap
        after the first, and without the owners (accounts.py) after the second."""
        self._state, self._producers = state, producers
        self._values, self._deadlines, self._gap, self._index = (
            state.values,
            state.deadlines,
            state.since_gap,
            state.index,
        )
        self._owners = state.accounts.owners
        self._notes = state.begin_notes()
        in_gap = None if self._gap is None else len(self._gap)
        self._counts = len(self._values), len(self._deadlines), in_gap, len(self._owners)
        self._names: list[Name] | None = producers.begin_notes()
        self._sessions = _encode(sessions.dump())
        rest = (before_gap, after_gap, last)
        self._before_gap, self._after_gap, self._last = (b"".join(map(_encode, r)) for r in rest)
        fields = 8 + sum(map(len, rest))
        self._out = Blocks([array_header(fields), _encode(FORMAT), _encode(state.time_ms)])
        self._pieces: Iterator[bool] = self._work()

    def step(self) -> bool:
        """Does one piece of the work. True when all is done."""
        done = next(self._pieces, True)
        if done:
            self._pieces = iter(())
        return done

    def finish(self) -> bytes:
        """The whole, doing whatever is left to do."""
        return b"".join(self.pieces())

    def pieces(self) -> list[bytes]:
        """The same in blocks, which are the caller's."""
        while not self.step():
            pass
        return self._out.take()

    def close(self) -> None:
        """The state need not take notes any more. Also for a dump that is given up: it is not to be
        found by the collector of garbage alone, as what works refers to it."""
        self._pieces = iter(())
        self._state.end_notes(self._notes)
        if self._names is not None:
            self._producers.notes = self._names = None

    def _work(self) -> Iterator[bool]:
        deadlines, gap, owners = Blocks(), Blocks(), Blocks()
        yield from self._counters(deadlines, gap, owners)
        self._out += [map_header(self._counts[1]), *deadlines.take(), self._sessions]
        yield from self._rows()
        in_gap = self._counts[2]
        self._out += [
            self._before_gap,
            _encode(None) if in_gap is None else array_header(in_gap),
            *gap.take(),
            self._after_gap,
        ]
        self._out += [map_header(self._counts[3]), *owners.take(), self._last]
        self.close()
        yield True

    def _counters(self, deadlines: Blocks, gap: Blocks, owners: Blocks) -> Iterator[bool]:
        """One walk for all four tables of counters."""
        out = self._out
        out.append(map_header(self._counts[0]))
        begin, before = 0, self._notes.before
        while True:
            following, names = self._index.run(begin, PIECE)
            names = self._with_gone(names, begin, following or PLACES)
            values: dict[bytes, int] = {}
            expiring: dict[bytes, int] = {}
            owned: dict[bytes, int] = {}
            since: list[bytes] = []
            for name in names:
                value, deadline_ms, in_gap, owner = before.get(name) or self._now(name)
                if value is not None:
                    values[name] = value
                    if deadline_ms is not None:
                        expiring[name] = deadline_ms
                    if in_gap:
                        since.append(name)
                    if owner is not None:
                        owned[name] = owner
            for found, into in ((values, out), (expiring, deadlines), (owned, owners)):
                if found:
                    into.append(_encode(found)[len(map_header(len(found))) :])
            if since:
                gap.append(b"".join(map(_encode, since)))
            begin = following
            if not begin:
                return
            yield False

    def _now(self, name: bytes) -> Note:
        in_gap = self._gap is not None and name in self._gap
        return self._values[name], self._deadlines.get(name), in_gap, self._owners.get(name)

    def _with_gone(self, names: list[bytes], begin: int, end: int) -> list[bytes]:
        gone = [name for name in self._notes.gone(begin, end) if name not in self._values]
        return in_order(names + gone) if gone else names

    def _rows(self) -> Iterator[bool]:
        assert self._names is not None
        names = self._names
        self._out.append(array_header(len(names)))
        for start in range(0, len(names), ROWS):
            self._out.append(
                b"".join(map(self._producers.row_of_then, names[start : start + ROWS]))
            )
            yield False


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
