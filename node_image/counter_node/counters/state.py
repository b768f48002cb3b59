"""The counters themselves: values, deadlines, and what changed since the cache was told.

Log time (`time_ms`) is a stopwatch: it never goes back, and no calendar moves it (replica.py says
who drives it). UTC is log time plus `offset_ms`. A deadline is a log time; one that was given as a
moment of the calendar is turned into one when its command is executed.
A gap is a full stop of unknown length. What is given a time to live while it is open (`since_gap`)
moves with the jump that closes it, so that it keeps what was left.
`running_ms` is log time without its jumps: while the cluster stood still, nobody could send
anything. Sessions, producers and watches age by it, so that no jump makes them forgotten.

A key is in `deadlines` only if it is in `values`.
Every deadline has its element in the heap; an element without its deadline is waste, and there is never more waste than use.
`index` holds exactly the keys of `values`.
"""

from __future__ import annotations

import heapq
from typing import Final

from counter_node.counters.keyspace import KeyIndex
from counter_node.counters.watches import Watches

MIN: Final = -(1 << 63)
MAX: Final = (1 << 63) - 1
MAX_KEYS: Final = 10_000_000
"""Part of the replicated state (it is in the snapshot), as all nodes must refuse the same key."""
_WASTE: Final = 1_000


class Notes:
    """What a dump needs of its moment.

    before            key → value and deadline of what has changed since; None: there was none
    names, expiring   the keys of values and of deadlines that it has not come to yet. They walk along the tables themselves until a key comes or
                      goes there, as copying a million names takes 10 ms.
    """

    __slots__ = ("_walks_deadlines", "_walks_values", "before", "expiring", "names")

    def __init__(self, values: dict[bytes, int], deadlines: dict[bytes, int]) -> None:
        self.before: dict[bytes, tuple[int | None, int | None]] = {}
        self.names, self.expiring = iter(values), iter(deadlines)
        self._walks_values = self._walks_deadlines = True

    def keep_names(self) -> None:
        """To be called before a key comes or goes."""
        if self._walks_values:
            self._walks_values = False
            self.names = iter(list(self.names))

    def keep_expiring(self) -> None:
        """To be called before a key gets its first deadline, or has none any more."""
        if self._walks_deadlines:
            self._walks_deadlines = False
            self.expiring = iter(list(self.expiring))


class State:
    __slots__ = ("_due", "agreed", "deadlines", "dirty", "index", "jumped_ms", "jumps", "marks", "max_keys", "notes", "offset_ms",
                 "since_gap", "time_ms", "values", "watches")

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self.values: dict[bytes, int] = {}
        self.deadlines: dict[bytes, int] = {}  # log time in ms at which the key is gone
        self.time_ms = 0
        self.offset_ms = 0
        self.agreed = False  # whether the offset was ever what a majority of clocks agreed on
        self.since_gap: dict[bytes, None] | None = None  # None: there is no gap
        self.marks = 0  # how often a gap began
        self.jumps = self.jumped_ms = 0  # how often log time jumped, and by how much in all
        self.max_keys = max_keys
        self.dirty: set[bytes] | None = None  # None: nobody wants to know
        self.index = KeyIndex()  # for SCAN; no part of the state: it follows from `values`
        self.notes: Notes | None = None  # None: no dump is being made
        self.watches = Watches()
        self._due: list[tuple[int, bytes]] = []  # heap; an element counts only while `deadlines` agrees with it

    def advance(self, time_ms: int) -> None:
        """Log time moves on, never back; what is due by then is gone."""
        if time_ms <= self.time_ms:
            return
        self.time_ms = time_ms
        due = self._due
        while due and due[0][0] <= time_ms:
            deadline, key = heapq.heappop(due)
            if self.deadlines.get(key) == deadline:
                self.remove(key)

    @property
    def running_ms(self) -> int:
        return self.time_ms - self.jumped_ms

    def jump(self, time_ms: int, *, gap: bool) -> None:
        """Log time moves on over a time in which the cluster stood still. `gap`: perhaps not over all of it."""
        ahead_ms = time_ms - self.time_ms
        if ahead_ms > 0:
            for key in [key for key in self.since_gap or () if key in self.deadlines]:
                self.expire_at(key, self.deadlines[key] + ahead_ms)
            self.jumps += 1
            self.jumped_ms += ahead_ms
            self.advance(time_ms)
        if not gap:
            self.since_gap = None
        elif self.since_gap is None or ahead_ms <= 0:  # the mark, perhaps of another stop before the last was made up for
            self.marks += 1
            self.since_gap = self.since_gap or {}

    def set_calendar(self, offset_ms: int, *, agreed: bool) -> None:
        self.offset_ms = offset_ms
        self.agreed = self.agreed or agreed

    def restore_calendar(self, offset_ms: int, agreed: bool, jumps: int, jumped_ms: int, marks: int) -> None:
        self.offset_ms, self.agreed = offset_ms, agreed
        self.jumps, self.jumped_ms, self.marks = jumps, jumped_ms, marks

    def expire_in(self, key: bytes, ms: int) -> None:
        """The key exists."""
        self.expire_at(key, self.time_ms + ms)
        if self.since_gap is not None:
            self.since_gap[key] = None

    def expire_at_utc(self, key: bytes, utc_ms: int) -> None:
        """The key exists."""
        self.expire_at(key, utc_ms - self.offset_ms)
        if self.since_gap is not None:
            self.since_gap.pop(key, None)

    def next_deadline(self) -> int | None:
        due = self._due
        while due and self.deadlines.get(due[0][1]) != due[0][0]:
            heapq.heappop(due)
        return due[0][0] if due else None

    # --- notes for a dump (dump.py) -----------------------------------------------------------------------------------------

    def begin_notes(self) -> Notes:
        assert self.notes is None, "one dump at a time"
        self.notes = Notes(self.values, self.deadlines)
        return self.notes

    def end_notes(self, notes: Notes) -> None:
        if self.notes is notes:
            self.notes = None

    # --- changes ------------------------------------------------------------------------------------------------------------

    @property
    def careful(self) -> bool:
        """Whether somebody must be told of changes by `changing`."""
        return self.notes is not None or bool(self.watches.by_key)

    def changing(self, key: bytes) -> None:
        """To be called before a change of a counter or its deadline."""
        if self.notes is not None and key not in self.notes.before:
            self.notes.before[key] = (self.values.get(key), self.deadlines.get(key))
        if key in self.watches.by_key:
            self.watches.touched(key)

    def put(self, key: bytes, value: int) -> None:
        """Keeps the deadline, if there is one."""
        self.changing(key)
        if key not in self.values:
            if self.notes is not None:
                self.notes.keep_names()
            self.index.add(key)
        self.values[key] = value
        if self.dirty is not None:
            self.dirty.add(key)

    def remove(self, key: bytes) -> bool:
        if key not in self.values:
            return False
        self.changing(key)
        if self.notes is not None:
            self.notes.keep_names()
            self.notes.keep_expiring()
        self.deadlines.pop(key, None)
        del self.values[key]
        self.index.remove(key)
        if self.dirty is not None:
            self.dirty.add(key)
        return True

    def expire_at(self, key: bytes, deadline_ms: int) -> None:
        """The key exists. A deadline that has passed removes it at once."""
        if deadline_ms <= self.time_ms:
            self.remove(key)
            return
        self.changing(key)
        if self.notes is not None and key not in self.deadlines:
            self.notes.keep_expiring()
        self.deadlines[key] = deadline_ms
        if self.dirty is not None:
            self.dirty.add(key)
        heapq.heappush(self._due, (deadline_ms, key))
        if len(self._due) > 2 * len(self.deadlines) + _WASTE:  # a key whose deadline moves again and again
            self._due = [(deadline, name) for name, deadline in self.deadlines.items()]
            heapq.heapify(self._due)

    def persist(self, key: bytes) -> bool:
        if key not in self.deadlines:
            return False
        self.changing(key)
        if self.notes is not None:
            self.notes.keep_expiring()
        del self.deadlines[key]
        if self.dirty is not None:
            self.dirty.add(key)
        return True

    def clear(self) -> None:
        if self.dirty is not None:
            self.dirty.update(self.values)
        for key in self.values.keys() & self.watches.by_key.keys():
            self.watches.touched(key)
        self.values, self.deadlines, self.notes = {}, {}, None  # a dump goes on with the old tables
        self._due.clear()
        if self.since_gap:
            self.since_gap = {}
        self.index = KeyIndex()

    def full(self) -> bool:
        return len(self.values) >= self.max_keys

    def load(self, values: dict[bytes, int], deadlines: dict[bytes, int], time_ms: int) -> None:
        self.values, self.deadlines, self.time_ms, self.index = values, deadlines, time_ms, KeyIndex(values)
        self._due = [(deadline, key) for key, deadline in deadlines.items()]
        heapq.heapify(self._due)
