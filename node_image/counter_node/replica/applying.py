"""The replicated state and what is done with it: committed entries executed, reads answered, a
received snapshot put in force, each in slices. Pure.

    entries     taken from the log; one may be applied in part when a turn ends
    a snapshot  while it is put in force nothing is applied and nothing is read
    reads       a group after the other; an atomic one lets no entry in between its slices
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from counter_node.counters.execution import Reading
from counter_node.counters.machine import Machine, Restoring
from counter_node.raft.core import Raft
from counter_node.raft.types import Entry, EntryKind, MembershipChange, Snapshot
from counter_node.replica.bundles import Reads
from counter_node.replica.gateway import Gateway

MAX_APPLY_BYTES: Final = 256 << 10
"""Log bytes taken to be applied at once."""
MAX_APPLY_WORK: Final = 1_000
"""Work of the state machine in one turn (Machine.spent), some 2 ms, and one slice more at most:
neither catching up nor one heavy command starves heartbeats."""
ENTRY_WORK: Final = 4
"""What an entry takes beside its commands."""


class Applying:
    def __init__(
        self, raft: Raft, machine: Machine, term: int, gateway: Gateway, *, knows: int
    ) -> None:
        """`term`: of the entry that `machine` reaches to. `knows`: the level of this version."""
        self.machine = machine
        self.term = term
        self.on_applied: Callable[[Entry], None] | None = None
        """For whoever waits for an index (administration)."""
        self.on_new_marks: Callable[[], None] = lambda: None
        """A received snapshot knows of other gaps in time than this node did."""
        self._raft, self._gateway, self._knows = raft, gateway, knows
        self._taken: list[Entry] = []  # from the log, to be applied, newest first
        self._restoring: tuple[Snapshot, Restoring] | None = None
        self._reading: tuple[Reads, Reading] | None = None
        self._queued: list[Reads] = []  # whose index is applied

    @property
    def unfinished(self) -> bool:
        """Another turn has something to do at once: more is committed than one turn may apply, or
        read, or there is memory to give back."""
        log = self._raft.log
        return (
            log.handed < log.committed
            or bool(self._taken)
            or self.reads_wait
            or self._restoring is not None
            or self.machine.untidy
        )

    @property
    def reads_wait(self) -> bool:
        """Reads whose index is applied are not all answered."""
        return self._reading is not None or bool(self._queued)

    @property
    def whole(self) -> bool:
        """The state is that of the applied index; no entry is applied in part, and no snapshot is
        being put in force."""
        return not self.machine.unfinished and self._restoring is None

    @property
    def restoring(self) -> bool:
        """A received snapshot is being put in force: the applied index is its own already, and
        nothing is answered yet."""
        return self._restoring is not None or self._raft.to_restore is not None

    # --- a received snapshot ----------------------------------------------------------------------

    def restore_some(self) -> None:
        """A slice of the work, if there is one to put in force."""
        snapshot = self._raft.to_restore
        if snapshot is None:
            return
        if self._restoring is None or self._restoring[0] is not snapshot:
            self.machine.abandon()
            if self._restoring is not None:
                self._restoring[1].close()
            self._restoring = snapshot, Machine.restoring(snapshot.state, self._knows)
            self._taken.clear()
        restoring = self._restoring[1]
        if restoring.step():
            self._restored(snapshot, restoring.machine)

    def restore(self) -> None:
        """All of it, if there is one."""
        while self._raft.to_restore is not None:
            self.restore_some()

    def _restored(self, snapshot: Snapshot, machine: Machine) -> None:
        self._raft.take_restore()
        self._restoring = None
        machine.inherit(self.machine)
        if machine.marks != self.machine.marks:
            self.on_new_marks()
        self.machine = machine
        self.term = snapshot.meta.term
        session = self._gateway.session
        self._gateway.restored(None if session is None else machine.last_number(session))
        if self._reading is not None:  # from its beginning again, in the new state
            self._reading = self._reading[0], machine.reading(self._reading[0].ops)

    # --- entries ----------------------------------------------------------------------------------

    def apply(self) -> None:
        """As much as one turn may."""
        if self._restoring is not None or (self._reading is not None and self._reading[1].atomic):
            return
        begun = self.machine.spent
        while self.machine.spent - begun < MAX_APPLY_WORK:
            if not self._taken:
                self._taken = self._raft.take_committed(MAX_APPLY_BYTES)[::-1]
                if not self._taken:
                    return
            if not self._apply_one(self._taken[-1]):
                return
            self._taken.pop()

    def apply_all(self) -> None:
        """Everything that is committed. Nobody is answered any more."""
        self._reading = None
        log = self._raft.log
        while log.handed < log.committed or self._taken:
            self.apply()

    def _apply_one(self, entry: Entry) -> bool:
        """False when it is applied in part."""
        raft, machine = self._raft, self.machine
        if entry.kind is EntryKind.DATA:
            outcome = (
                machine.go_on()
                if machine.unfinished
                else machine.begin(entry.index, entry.data, self._gateway.substitute)
            )
            machine.spent += ENTRY_WORK
            if outcome is None:
                return False
            self._gateway.applied(outcome)
        elif entry.kind is EntryKind.CONFIG:
            change = msgspec.msgpack.decode(entry.data, type=MembershipChange)
            raft.apply_change(change, entry.term, entry.index)
        raft.applied_to(entry.index)
        self.term = entry.term
        if self.on_applied is not None:
            self.on_applied(entry)
        return True

    # --- reads ------------------------------------------------------------------------------------

    def answer_reads(self) -> None:
        """A group after the other, each in slices."""
        gateway = self._gateway
        for read_id, index in self._raft.take_reads():
            gateway.reads.confirmed(read_id, index)
        if not self.whole:
            return
        if self._reading is None:
            self._queued += gateway.reads.due(self._raft.log.applied)
        spent = 0
        while spent < MAX_APPLY_WORK and self.reads_wait:
            if self._reading is None:
                group = self._queued.pop(0)
                self._reading = group, self.machine.reading(group.ops)
            group, reading = self._reading
            if not reading.step():
                return
            self._reading = None
            spent += reading.spent
            gateway.answer(group, reading.replies)
