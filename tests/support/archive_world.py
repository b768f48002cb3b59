"""A history that is known entry by entry, and members that have parts of it: what the tests of the
archive compare with.

`Truth` commits entries of several terms and knows the checksum of the state after each. A `Member`
has a log up to some index, of which a part is committed as far as it knows; what it has beyond is
of a leader that was deposed, and never was committed. It is the source of an uploader."""

from __future__ import annotations

import random
from collections.abc import Sequence

from counter_node.archive.rules.objects import LineageRecord
from counter_node.archive.rules.uploading import Have
from counter_node.archive.source import MemorySnapshot
from counter_node.counters import batches
from counter_node.counters.machine import Machine
from counter_node.counters.ops import INCRBY
from counter_node.raft.types import (
    Entry,
    EntryKind,
    Membership,
    Snapshot,
    SnapshotMeta,
)
from counter_node.raft.types import (
    Member as RaftMember,
)

HISTORY = "00112233445566ff"
CLUSTER = "default/clicks"
MEMBERSHIP = Membership((RaftMember(7, "clicks-0", "clicks-0:7000", "clicks-0:6379", True),))


class Truth:
    def __init__(self, seed: int = 0, history: str = HISTORY) -> None:
        self.random = random.Random(seed)
        self.machine = Machine(began_ms=1_000_000, history=history)
        self.history = history
        self.term = 1
        self.entries: dict[int, Entry] = {}
        self.index = 1  # the first snapshot of all
        self.states: dict[int, bytes] = {1: self.machine.snapshot()}
        self.times: dict[int, tuple[int, int]] = {1: (self.machine.time_ms, self.utc_ms)}
        """Log time and UTC after each entry."""
        self._number = 0
        self._session = 0

    @property
    def utc_ms(self) -> int:
        return self.machine.time_ms + self.machine.offset_ms

    def elect(self) -> None:
        """Another leader: its term begins with an entry of its own."""
        self.term += self.random.randint(1, 2)
        self._append(EntryKind.NOOP, b"")

    def count(self) -> None:
        """Some commands, a registration, or a change of the calendar."""
        stamp = self.machine.time_ms + self.random.randint(0, 4_000)
        if not self._session:
            self._append(EntryKind.DATA, batches.stamp(stamp, batches.encode_open(1)))
            self._session = self.index
        elif self.random.random() < 0.05:
            offset = self.random.randint(-10_000, 10_000)
            body = batches.encode(batches.Calendar(offset))
            self._append(EntryKind.DATA, batches.stamp(stamp, body))
        else:
            self._number += 1
            keys = [b"k%d" % self.random.randrange(40) for _ in range(self.random.randint(1, 5))]
            ops = [[INCRBY, key, self.random.randint(1, 9)] for key in keys]
            body = batches.encode_batch(self._session, self._number, ops)
            self._append(EntryKind.DATA, batches.stamp(stamp, body))

    def _append(self, kind: EntryKind, data: bytes) -> None:
        self.index += 1
        entry = Entry(self.index, self.term, kind, data)
        if kind is EntryKind.DATA:
            self.machine.apply(entry.index, entry.data, lambda session, number: None)
        self.entries[entry.index] = entry
        self.states[self.index] = self.machine.snapshot()
        self.times[self.index] = (self.machine.time_ms, self.utc_ms)

    def term_at(self, index: int) -> int:
        return self.entries[index].term if index in self.entries else 1


class Member:
    """A source. `committed` is what this member knows of; `first` what its log begins with."""

    def __init__(self, truth: Truth) -> None:
        self.history = truth.history
        self.truth = truth
        self.committed = self.snapshot = 1
        self.first = 2
        self.lost: list[Entry] = []
        """Behind the committed ones: what a deposed leader appended."""

    def catch_up(self, index: int) -> None:
        """Also by a snapshot of the leader's, where that is far."""
        self.committed = max(self.committed, index)
        self.lost = []

    def append_in_vain(self, count: int) -> None:
        term = self.truth.term_at(self.committed)
        data = batches.stamp(self.truth.times[self.committed][0], batches.encode_tick())
        self.lost = [
            Entry(self.committed + 1 + n, term, EntryKind.DATA, data) for n in range(count)
        ]

    def take_snapshot(self, *, compact_to: int = 0) -> None:
        """Of all that is committed; the log goes up to `compact_to`."""
        self.snapshot = self.committed
        self.first = max(self.first, min(compact_to, self.snapshot + 1))

    def lineage(self) -> LineageRecord:
        return LineageRecord(CLUSTER, self.truth.machine.lineage)

    def have(self) -> Have:
        return Have(self.committed, self.first, self.snapshot)

    def entries(self, first: int, last: int) -> Sequence[Entry]:
        """As a log gives them: what is not committed too, where it is asked for."""
        found = [self.truth.entries[i] for i in range(first, min(last, self.committed) + 1)]
        return found + [entry for entry in self.lost if first <= entry.index <= last]

    def open_snapshot(self) -> MemorySnapshot:
        index = self.snapshot
        meta = SnapshotMeta(index, self.truth.term_at(index), MEMBERSHIP)
        state = self.truth.states[index]
        return MemorySnapshot(Snapshot(meta, state), *self.truth.times[index])
