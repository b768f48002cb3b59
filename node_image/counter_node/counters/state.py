"""The counters in time: what is due, what a jump moves, how much there may be. Their tables, and
all changes: tables.py.

Log time (`time_ms`) is a stopwatch: it never goes back, and no calendar moves it (replica.py says
who drives it). UTC is log time plus `offset_ms`. A deadline is a log time; one that was given as a
moment of the calendar is turned into one when its command is executed.
A gap is a full stop of unknown length. What is given a time to live while it is open (`since_gap`)
moves with the jump that closes it, so that it keeps what was left.
`running_ms` is log time without its jumps: while the cluster stood still, nobody could send
anything. Sessions, producers and watches age by it, so that no jump makes them forgotten.

1. What is due is gone for everybody at once, and is removed in slices: `SLICE` counters with each
   entry of the log, in the schedule's order, so that the same are left on every replica. While some
   are left there is a `backlog`: whoever reads asks `get`, whoever writes asks `fetch`, which
   removes what is due first. Below level 4 (`in_slices` is False) all of it is removed at once, as
   the versions before do.
2. A key or an expiry more is refused once all together reach `max_bytes`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from counter_node.counters import weights
from counter_node.counters.table import Table
from counter_node.counters.tables import Tables

MIN: Final = -(1 << 63)
MAX: Final = (1 << 63) - 1
MAX_KEYS: Final = 10_000_000
"""Part of the replicated state (it is in the snapshot), as all nodes must refuse the same key."""
SLICE: Final = 1_000
"""Counters that are due and removed with one entry of the log. For ever: a replica that removed
another number would differ."""
MOST_SCANNED: Final = 20_000
"""Counters that the KEYS and SCAN of one command, which may be a transaction, look at together. For
ever, as replies may be kept in the state."""
PUBLISHED_SINGLY: Final = 10_000
"""Counters of a FLUSH that the cache hears of by name; of more, it hears that everything
changed."""
JUMP_PIECE: Final = 500
"""Deadlines moved in one slice by a jump of log time: some 3 ms."""


class State(Tables):
    __slots__ = (
        *("agreed", "beside", "in_slices", "jumped_ms", "jumps", "scanned", "marks"),
        *("max_bytes", "max_keys", "offset_ms"),
    )

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        super().__init__()
        self.offset_ms = 0
        self.agreed = False  # whether the offset was ever what a majority of clocks agreed on
        self.marks = 0  # how often a gap began
        self.jumps = self.jumped_ms = 0  # how often log time jumped, and by how much in all
        self.max_keys = max_keys
        self.max_bytes = 0  # 0: no limit
        self.beside = 0  # bytes of the other tables, as they were before the entry
        self.in_slices = True
        self.scanned = 0  # by the command that is being executed

    # --- time -------------------------------------------------------------------------------------

    def advance(self, time_ms: int) -> int:
        """Log time moves on, never back; what is due by then is gone. Returns how many counters
        were removed."""
        self.time_ms = max(time_ms, self.time_ms)
        return self.clear_away()

    def clear_away(self) -> int:
        taken = self.schedule.take(self.time_ms, SLICE if self.in_slices else None)
        for key in taken:
            self._drop(key)
        first_ms = self.schedule.first_ms()
        self.backlog = first_ms is not None and first_ms <= self.time_ms
        return len(taken)

    @property
    def running_ms(self) -> int:
        return self.time_ms - self.jumped_ms

    def jump(self, time_ms: int, *, gap: bool) -> Generator[None]:
        """Log time moves on over a time in which the cluster stood still, with a pause after each
        piece of what moves with it. `gap`: perhaps not over all of that time."""
        ahead_ms = time_ms - self.time_ms
        if ahead_ms > 0:
            yield from self._move(ahead_ms)
            self.jumps += 1
            self.jumped_ms += ahead_ms
            self.advance(time_ms)
        if not gap:
            self._end_gap()
        elif (
            self.since_gap is None or ahead_ms <= 0
        ):  # the mark, perhaps of another stop before the last was made up for
            self.marks += 1
            self.since_gap = Table() if self.since_gap is None else self.since_gap

    def _move(self, ahead_ms: int) -> Generator[None]:
        """What was given a time to live since the gap began keeps what is left of it."""
        for number, key in enumerate(self.since_gap or (), 1):
            if key in self.deadlines and not self.is_due(key):
                self.expire_at(key, self.deadlines[key] + ahead_ms)
            if number % JUMP_PIECE == 0:
                yield

    def _end_gap(self) -> None:
        """The names are given back in slices. A dump that has not come to them knows them by its
        own reference."""
        if self.since_gap is not None and self.notes is None:
            self.waste.add(*self.since_gap.parts)
        elif self.since_gap is not None and self.notes is not None:
            self.notes.waste += self.since_gap.parts
        self.since_gap = None

    def set_calendar(self, offset_ms: int, *, agreed: bool) -> None:
        self.offset_ms = offset_ms
        self.agreed = self.agreed or agreed

    def restore_calendar(
        self, offset_ms: int, agreed: bool, jumps: int, jumped_ms: int, marks: int
    ) -> None:
        self.offset_ms, self.agreed = offset_ms, agreed
        self.jumps, self.jumped_ms, self.marks = jumps, jumped_ms, marks

    def expire_in(self, key: bytes, ms: int) -> None:
        """The key exists."""
        self.expire_at(key, self.time_ms + ms)
        if self.since_gap is not None and key in self.deadlines:
            self.since_gap[key] = None

    def expire_at_utc(self, key: bytes, utc_ms: int) -> None:
        """The key exists."""
        self.expire_at(key, utc_ms - self.offset_ms)
        if self.since_gap is not None:
            self.since_gap.pop(key, None)

    def next_deadline(self) -> int | None:
        """Of what is not due yet."""
        return (
            self.schedule.first_after_ms(self.time_ms) if self.backlog else self.schedule.first_ms()
        )

    def clear(self) -> None:
        """All tables are replaced, and the old ones freed later: ten million counters are gone at
        once."""
        if self.dirty is not None:
            if len(self.values) <= PUBLISHED_SINGLY:
                self.dirty.update(self.values)
            else:
                self.all_dirty = True
        self.watches.cleared(self.values)
        if self.undo is not None and self.undo.aside is None:
            self.undo.aside = self._set_aside()
        else:
            self._throw_away(self._set_aside())

    # --- limits -----------------------------------------------------------------------------------

    def full(self, more: int = 1) -> bool:
        """Whether there are too many counters for `more` new ones. What is due makes room first."""
        while self.backlog and len(self.values) + more > self.max_keys:
            if not self.clear_away():
                break
        return len(self.values) + more > self.max_keys

    def heavy(self, more: int) -> bool:
        """Whether so many bytes more are too many. What is due makes room first."""
        if not self.max_bytes:
            return False
        while self.backlog and self.taken(self.beside + more) > self.max_bytes:
            if not self.clear_away():
                break
        return self.taken(self.beside + more) > self.max_bytes

    def taken(self, beside: int) -> int:
        """What the state takes of its limit, with so many bytes of other tables (weights.py). Of
        those the dump takes half at most."""
        total = self.size_bytes + beside
        return weights.taken(total, self.dump_bytes() + beside // 2)

    def dump_bytes(self) -> int:
        """What the tables of counters take in a snapshot, at most (without the names of a gap)."""
        counters, expiring = len(self.values), len(self.deadlines)
        owned = len(self.accounts.owners)
        names = (
            self.size_bytes
            - weights.KEY * counters
            - weights.DEADLINE * expiring
            - weights.OWNER * owned
        )
        return names + self.again_bytes + weights.DUMPED * (counters + expiring + owned)

    def new_bytes(self, keys: int, names_bytes: int) -> int:
        """What so many new counters take, with names of so many bytes together."""
        return (weights.KEY + (weights.OWNER if self.actor is not None else 0)) * keys + names_bytes

    def may_look_at(self, count: int) -> bool:
        """For what a command costs that is not seen in its length."""
        self.scanned += count
        return not self.in_slices or self.scanned <= MOST_SCANNED

    # --- a snapshot (restore.py) ------------------------------------------------------------------

    def loaded(self, time_ms: int) -> None:
        self.time_ms = time_ms
        first_ms = self.schedule.first_ms()
        self.backlog = first_ms is not None and first_ms <= time_ms
