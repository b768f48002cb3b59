"""The counters: values, deadlines, owners, in tables that agree with each other; and what is kept
of them for those that must know of a change: a dump, watches, the cache.

1. A key is in `deadlines` only if it is in `values`. `index` holds exactly the keys of `values`,
   `schedule` exactly the pairs of `deadlines`.
2. What is due (`backlog`, state.py) is gone for everybody: whoever reads asks `get`, whoever writes
   asks `fetch`, which removes what is due first.
3. `size_bytes` is what the counters take, in the units of weights.py.
4. From `begin_undo` on every change is noted, until `keep` or `roll_back`: the latter puts back
   counters, deadlines, owners, the names of a gap, watches and sizes (undo.py).
"""

from __future__ import annotations

from typing import Any

from counter_node.counters import weights
from counter_node.counters.accounts import Account, Accounts
from counter_node.counters.keyspace import KeyIndex
from counter_node.counters.notes import Notes
from counter_node.counters.schedule import Schedule
from counter_node.counters.table import Table
from counter_node.counters.undo import NOTHING, Aside, Before, Undo
from counter_node.counters.waste import Waste
from counter_node.counters.watches import Watches


class Tables:
    __slots__ = (
        *("accounts", "actor", "again_bytes", "all_dirty", "backlog", "deadlines", "dirty"),
        *("index", "notes", "schedule", "since_gap", "size_bytes", "time_ms", "undo", "values"),
        *("waste", "watches"),
    )

    def __init__(self) -> None:
        self.values: Table[int] = Table()
        self.deadlines: Table[int] = Table()  # log time in ms at which the key is gone
        self.time_ms = 0
        self.since_gap: Table[None] | None = None  # None: there is no gap
        self.size_bytes = 0  # of counters
        self.again_bytes = 0  # of names with an expiry, and with an owner: a dump repeats them
        self.accounts = Accounts()
        self.actor: Account | None = None  # of whose command is being executed, if it has a limit
        self.backlog = False  # something is due and not removed yet
        self.dirty: set[bytes] | None = None  # None: nobody wants to know
        self.all_dirty = False  # more changed than `dirty` names
        self.index = KeyIndex()  # for SCAN; no part of the state: it follows from `values`
        self.schedule = Schedule()  # follows from `deadlines`
        self.waste = Waste()
        self.notes: Notes | None = None  # None: no dump is being made
        self.watches = Watches()
        self.undo: Undo | None = None  # None: no script runs

    # --- questions --------------------------------------------------------------------------------

    def is_due(self, key: bytes) -> bool:
        deadline_ms = self.deadlines.get(key)
        return deadline_ms is not None and deadline_ms <= self.time_ms

    # --- questions --------------------------------------------------------------------------------

    def get(self, key: bytes) -> int | None:
        """The value as clients see it. Changes nothing."""
        return None if self.backlog and self.is_due(key) else self.values.get(key)

    def fetch(self, key: bytes) -> int | None:
        """The same, for an operation of the log: what is due is removed, so that the operation
        finds nothing of it."""
        if self.backlog and self.is_due(key):
            self.remove(key)
        return self.values.get(key)

    def count(self) -> int:
        """Counters as clients see them."""
        return len(self.values) - (self.schedule.due(self.time_ms) if self.backlog else 0)

    # --- notes for a dump (dump.py) ---------------------------------------------------------------

    def begin_notes(self) -> Notes:
        assert self.notes is None, "one dump at a time"
        self.notes = Notes(self.since_gap)
        return self.notes

    def end_notes(self, notes: Notes) -> None:
        if self.notes is notes:
            self.notes = None
        # A million notes, of counters made meanwhile, held the loop for 77 ms.
        self.waste.add(*notes.waste, *notes.before.parts)
        notes.waste, notes.before = [], Table()

    # --- changes ----------------------------------------------------------------------------------

    @property
    def careful(self) -> bool:
        """Whether somebody is to hear of changes by `changing`."""
        return self.notes is not None or bool(self.watches.by_key) or self.undo is not None

    def changing(self, key: bytes) -> None:
        """To be called before a change of a counter or its deadline."""
        notes = self.notes
        if notes is not None and key not in notes.before:
            in_gap = notes.gap is not None and key in notes.gap
            owner = self.accounts.owners.get(key)
            notes.before[key] = (self.values.get(key), self.deadlines.get(key), in_gap, owner)
        undo = self.undo
        if undo is not None and undo.aside is None and key not in undo.before:
            undo.before[key] = self._as_it_is(key)
        if key in self.watches.by_key:
            self.watches.touched(key)

    def put(self, key: bytes, value: int) -> None:
        """Keeps the deadline, if there is one."""
        if self.notes is not None or self.watches.by_key or self.undo is not None:
            self.changing(key)
        if key not in self.values:
            self.index.add(key)
            self.size_bytes += weights.KEY + len(key)
            if self.actor is not None:
                self.accounts.made(self.actor, key)
                self.size_bytes += weights.OWNER
                self.again_bytes += len(key)
        self.values[key] = value
        if self.dirty is not None:
            self.dirty.add(key)

    def remove(self, key: bytes) -> bool:
        if key not in self.values:
            return False
        deadline_ms = self.deadlines.get(key)
        if deadline_ms is not None:
            self.schedule.remove(deadline_ms, key)
        self._drop(key)
        return True

    def _drop(self, key: bytes) -> None:
        """A key that is there, and not in the schedule (any more)."""
        self.changing(key)
        if self.notes is not None:
            self.notes.left(key)
        if self.accounts.owners:
            self._disown(key)
        if self.deadlines.pop(key, None) is not None:
            self.size_bytes -= weights.DEADLINE
            self.again_bytes -= len(key)
        if self.since_gap:
            self.since_gap.pop(
                key, None
            )  # a gap may stay open for long, and names must not pile up in it
        del self.values[key]
        self.size_bytes -= weights.KEY + len(key)
        self.index.remove(key)
        if self.dirty is not None:
            self.dirty.add(key)

    def _disown(self, key: bytes) -> None:
        if self.accounts.gone(key, expiring=key in self.deadlines):
            self.size_bytes -= weights.OWNER
            self.again_bytes -= len(key)

    def expire_at(self, key: bytes, deadline_ms: int) -> None:
        """The key exists. A deadline that has passed removes it at once."""
        if deadline_ms <= self.time_ms:
            self.remove(key)
            return
        if self.notes is not None or self.watches.by_key or self.undo is not None:
            self.changing(key)
        old_ms = self.deadlines.get(key)
        if old_ms is None:
            self.size_bytes += weights.DEADLINE
            self.again_bytes += len(key)
            self.accounts.grown(key, weights.DEADLINE)
        else:
            self.schedule.remove(old_ms, key)
        self.deadlines[key] = deadline_ms
        self.schedule.add(deadline_ms, key)
        if self.dirty is not None:
            self.dirty.add(key)

    def persist(self, key: bytes) -> bool:
        deadline_ms = self.deadlines.get(key)
        if deadline_ms is None:
            return False
        self.changing(key)
        del self.deadlines[key]
        self.schedule.remove(deadline_ms, key)
        self.size_bytes -= weights.DEADLINE
        self.again_bytes -= len(key)
        self.accounts.grown(key, -weights.DEADLINE)
        if self.dirty is not None:
            self.dirty.add(key)
        return True

    # --- what a script did is kept or taken back --------------------------------------------------

    def begin_undo(self) -> None:
        assert self.undo is None, "one script at a time"
        self.undo = Undo()
        self.watches.newly_broken = self.undo.broken
        self.accounts.hold()

    def _as_it_is(self, key: bytes) -> Before:
        value = self.values.get(key)
        if value is None:
            return NOTHING
        in_gap = self.since_gap is not None and key in self.since_gap
        return value, self.deadlines.get(key), in_gap, self.accounts.owner_of(key)

    def keep(self) -> None:
        """The script ended well."""
        undo = self._end_undo()
        if undo.aside is not None:
            self._throw_away(undo.aside)
        self.accounts.release()
        self.watches.newly_broken = None

    def roll_back(self) -> None:
        """Everything is as it was when the script began."""
        undo = self._end_undo()
        if undo.aside is not None:
            self._throw_away(self._set_aside())
            self._put_back(undo.aside)
        for key, before in undo.before.items():
            self._restore(key, *before)
        self.accounts.release()
        for watch in undo.broken:
            watch.broken = False
        self.watches.newly_broken = None

    def _end_undo(self) -> Undo:
        undo, self.undo = self.undo, None
        assert undo is not None, "a script runs"
        return undo

    def _restore(
        self,
        key: bytes,
        value: int | None,
        deadline_ms: int | None,
        in_gap: bool,
        owner: Account | None,
    ) -> None:
        if value is None or (deadline_ms is not None and deadline_ms <= self.time_ms):
            self.remove(key)
            return
        if self.accounts.owner_of(key) is not owner:
            self.remove(key)
        actor, self.actor = self.actor, owner
        self.put(key, value)
        self.actor = actor
        if deadline_ms is None:
            self.persist(key)
        else:
            self.expire_at(key, deadline_ms)
        if self.since_gap is not None and in_gap:
            self.since_gap[key] = None
        elif self.since_gap is not None:
            self.since_gap.pop(key, None)

    def _set_aside(self) -> Aside:
        """All tables are replaced by empty ones."""
        used = self.accounts.used() if self.undo is not None else []
        found = Aside(
            self.values, self.deadlines, self.index, self.schedule, self.accounts.clear(), used,
            self.since_gap, self.notes, (self.size_bytes, self.again_bytes, self.backlog),
        )  # fmt: skip
        self.since_gap = None if self.since_gap is None else Table()
        self.values, self.deadlines, self.notes = Table(), Table(), None
        self.index, self.schedule = KeyIndex(), Schedule()
        self.size_bytes, self.again_bytes, self.backlog = 0, 0, False
        return found

    def _put_back(self, aside: Aside) -> None:
        self.values, self.deadlines = aside.values, aside.deadlines
        self.index, self.schedule = aside.index, aside.schedule
        self.accounts.put_back(aside.owners, aside.used)
        self.since_gap, self.notes = aside.since_gap, aside.notes
        self.size_bytes, self.again_bytes, self.backlog = aside.sizes

    def _throw_away(self, aside: Aside) -> None:
        """They are given back in slices; a dump goes on with them before."""
        tables: list[Any] = [*aside.values.parts, *aside.deadlines.parts, *aside.owners.parts]
        tables += [] if aside.since_gap is None else aside.since_gap.parts
        if aside.notes is not None:
            aside.notes.waste += [*tables, aside.index.buckets]
        else:
            self.waste.add(*tables, aside.index.buckets)
        self.waste.add(aside.schedule.buckets)

    def shrink(self) -> None:
        """Tables that hold little now are rebuilt, a part at a time."""
        if self.notes is None:
            self.values.shrink()
            self.deadlines.shrink()
            self.accounts.owners.shrink()

    # --- a snapshot (restore.py) ------------------------------------------------------------------

    def take_values(self, piece: dict[bytes, int]) -> None:
        self.values.absorb(piece)
        self.index.add_all(piece)
        self.size_bytes += weights.KEY * len(piece) + sum(map(len, piece))

    def take_deadlines(self, piece: dict[bytes, int]) -> None:
        self.deadlines.absorb(piece)
        add = self.schedule.add
        for key, deadline_ms in piece.items():
            add(deadline_ms, key)
        self.size_bytes += weights.DEADLINE * len(piece)
        self.again_bytes += sum(map(len, piece))

    def take_owners(self, piece: dict[bytes, int]) -> None:
        """After the counters, their expiries and the accounts."""
        self.accounts.take_owners(piece, self.deadlines)
        self.size_bytes += weights.OWNER * len(piece)
        self.again_bytes += sum(map(len, piece))
