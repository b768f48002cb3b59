"""The state machine as Raft sees it: apply an entry, read, dump, restore.

An entry is applied whole, but not always at once: what would hold the caller's loop for long is
done in slices (`begin`, then `go_on` until there is an outcome), and in between nothing is read,
dumped or applied. Where a slice ends is nobody's business but this process's: the state after the
entry is the same."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from counter_node.counters.batches import (
    TIME_BYTES,
    Batch,
    Begin,
    Body,
    Bytes,
    Calendar,
    Jump,
    Level,
    Limits,
    Op,
    OpenSession,
    Outcome,
    OutcomeKind,
    UserLimits,
    decode,
    decode_ops,
)
from counter_node.counters.dump import FORMAT, Dump
from counter_node.counters.errors import SnapshotFormatError, UnknownOperationError
from counter_node.counters.execution import Execution, Reading, Work
from counter_node.counters.history import FORMED, UPGRADED, History, Lineage, begun
from counter_node.counters.levels import (
    BYTES_LEVEL,
    HISTORY_LEVEL,
    LEVEL,
    LIMITS_LEVEL,
    SCRIPTS_LEVEL,
    SLICES_LEVEL,
    TIME_LEVEL,
    USERS_LEVEL,
)
from counter_node.counters.producers import MOST, Producers
from counter_node.counters.questions import Questions
from counter_node.counters.restore import Restore
from counter_node.counters.scripts import Operation
from counter_node.counters.sessions import Sessions
from counter_node.counters.state import MAX_KEYS, State

__all__ = ["Machine", "SnapshotFormatError", "UnknownOperationError"]

EVICTED: int = 1_000
"""Producers forgotten with one entry, since level 4."""

MOVING_WORK = 2_500
"""Of one slice of a jump."""

Substitute = Callable[[int, int], list[Op] | None]
"""(session, number) → the full list of commands, reads included, if the batch is one's own."""


class Machine(Questions):
    def __init__(
        self,
        max_keys: int = MAX_KEYS,
        *,
        max_producers: int = MOST,
        max_bytes: int = 0,
        knows: int = LEVEL,
        began_ms: int = 0,
        history: str = "",
    ) -> None:
        """The limits count when a cluster is formed, as do `knows`, the level of this version,
        `began_ms`, log time then, and `history`, the id of the one that begins: from then on all
        are part of the state."""
        self._state = State(max_keys)
        self._state.time_ms = began_ms
        self._state.max_bytes = max_bytes if knows >= BYTES_LEVEL else 0
        self._sessions = Sessions()
        self._producers = Producers(max_producers)
        self._producers.most_bytes_of = self._state.accounts.most_bytes_of
        self._execution = Execution(self._state, self._producers)
        self._scripts = self._execution.scripts
        self.knows = knows
        self.level = knows
        self.lineage: Lineage = (
            (History(history, 1, FORMED),) if history and knows >= HISTORY_LEVEL else ()
        )
        self._work: Work | None = None
        self._moving: Iterator[None] | None = None  # a jump of log time
        self.spent = 0
        """Work done so far, in units of a microsecond or two."""

    @property
    def level(self) -> int:
        return self._execution.level

    @level.setter
    def level(self, level: int) -> None:
        self._execution.level = level
        self._execution.knows = self.knows
        self._state.in_slices = self._state.watches.in_slices = level >= SLICES_LEVEL

    @property
    def operation(self) -> Operation:
        """What makes an operation of a command's words, for scripts (scripts.py)."""
        return self._scripts.operation

    @operation.setter
    def operation(self, operation: Operation) -> None:
        self._scripts.operation = operation

    # --- the log ----------------------------------------------------------------------------------

    def apply(self, index: int, payload: bytes, substitute: Substitute) -> Outcome:
        """The whole entry now, in however many slices."""
        outcome = self.begin(index, payload, substitute)
        while outcome is None:
            outcome = self.go_on()
        return outcome

    def begin(self, index: int, payload: bytes, substitute: Substitute) -> Outcome | None:
        """Entries in their order, each once. None: `go_on` is to be called until it is done.
        `substitute` is asked only for a batch that is going to be executed.

        Raises UnknownOperationError; the state is of no use afterwards, the log is.
        """
        assert not self.unfinished, "one entry after the other"
        state, sessions = self._state, self._sessions
        time_ms = int.from_bytes(payload[:TIME_BYTES], "big")
        if time_ms > state.time_ms or state.backlog:
            self.spent += 3 * state.advance(time_ms)
        now = state.running_ms
        if now >= sessions.due_ms:
            sessions.evict(now)
        if now >= self._producers.due_ms:
            self._producers.evict(now, EVICTED if state.in_slices else None)
        if state.watches.by_key:
            state.watches.evict(now)
        try:
            body = decode(memoryview(payload)[TIME_BYTES:])
        except msgspec.ValidationError as error:
            raise UnknownOperationError(
                f"entry {index} is of a kind that this version does not know ({error}); upgrade "
                f"this node"
            ) from None
        if type(body) is Batch:
            kind = sessions.admit(body.session, body.number, now)
            if kind is not OutcomeKind.EXECUTED:
                return Outcome(kind, body.session, body.number)
            if state.max_bytes:
                state.beside = self.beside_bytes
            own = substitute(body.session, body.number)
            if own is None:
                work = Work(decode_ops(body.ops), None, Outcome(kind, body.session, body.number))
            else:
                replies: list[Any] = []
                work = Work(own, replies, Outcome(kind, body.session, body.number, 0, replies))
            return self._slice(work)
        if type(body) is OpenSession:
            sessions.open(index, now)
            return Outcome(OutcomeKind.SESSION_OPENED, index, 0, body.nonce)
        if type(body) is Jump:
            self._execution.allow(TIME_LEVEL, "a jump of log time")
            self._moving = state.jump(body.elapsed_ms, gap=body.gap)
            return self.go_on()
        self._govern(index, body)
        return Outcome(OutcomeKind.TICKED)

    @property
    def unfinished(self) -> bool:
        """An entry is applied in part."""
        return self._work is not None or self._moving is not None

    def go_on(self) -> Outcome | None:
        """One more slice of the entry that was begun."""
        if self._moving is not None:
            self.spent += MOVING_WORK
            if next(self._moving, True) is None:
                return None
            self._moving = None
            return Outcome(OutcomeKind.TICKED)
        assert self._work is not None
        return self._slice(self._work)

    def _slice(self, work: Work) -> Outcome | None:
        done = self._execution.slice(work)
        self.spent += work.spent
        self._work = None if done else work
        return work.outcome if done else None

    def _govern(self, index: int, body: Body) -> None:
        """What the leader put in for all."""
        if type(body) is Level:
            if body.level > self.knows:
                raise UnknownOperationError(
                    f"the cluster is at level {body.level} and this version knows {self.knows}; "
                    f"upgrade this node"
                )
            self.level = max(self.level, body.level)
        elif type(body) is Limits:
            self._execution.allow(LIMITS_LEVEL, "the entry of limits")
            self._state.max_keys, self._producers.most = body.max_keys, body.max_producers
        elif type(body) is Bytes:
            self._execution.allow(BYTES_LEVEL, "the entry of bytes")
            self._state.max_bytes = body.max_bytes
        elif type(body) is UserLimits:
            self._execution.allow(USERS_LEVEL, "the entry of users' limits")
            self._state.accounts.govern(body.rows)
        elif type(body) is Calendar:
            self._execution.allow(TIME_LEVEL, "the entry of the calendar")
            self._state.set_calendar(body.offset_ms, agreed=body.agreed)
        elif type(body) is Begin:
            self._execution.allow(HISTORY_LEVEL, "the entry of a history")
            if not self.lineage:
                self.begin_history(History(body.history, index, UPGRADED))

    def begin_history(self, history: History) -> None:
        self.lineage = begun(self.lineage, history)

    def read(self, ops: list[Op]) -> list[Any]:
        """Changes nothing. Raises ValueError for an operation that would."""
        reading = self.reading(ops)
        while not reading.step():
            pass
        return reading.replies

    def reading(self, ops: list[Op]) -> Reading:
        """The same in slices."""
        assert not self.unfinished, "not in the middle of an entry"
        return Reading(self._execution, ops)

    def tidy(self) -> None:
        """One slice of work that nobody can see."""
        self._state.waste.free()

    def shrink(self) -> None:
        """Now and then: tables that have become far too large are rebuilt."""
        self._state.shrink()

    def abandon(self) -> None:
        """Another is going to take its place: what it holds is given back in slices, while the
        other is made."""
        self._work = self._moving = None
        self._state.dirty = None if self._state.dirty is None else set()
        self._state.clear()
        if self._producers.notes is None:  # else a dump goes on with the old table
            self._state.waste.add(self._producers.give_up())

    def inherit(self, old: Machine) -> None:
        """This one takes the place of one that was abandoned."""
        self._state.waste, old._state.waste = old._state.waste, self._state.waste
        self.track_dirty = old.track_dirty
        self.operation = old.operation

    @property
    def track_dirty(self) -> bool:
        return self._state.dirty is not None

    @track_dirty.setter
    def track_dirty(self, on: bool) -> None:
        self._state.dirty = set() if on else None
        self._state.all_dirty = False

    def take_all_dirty(self) -> bool:
        """More changed since the last call than is published by name."""
        found, self._state.all_dirty = self._state.all_dirty, False
        return found

    def take_dirty(self) -> set[bytes]:
        """Keys whose value changed, or that are gone, since the last call."""
        found = self._state.dirty
        if not found:  # nobody wants to know, or nothing changed
            return set()
        self._state.dirty = set()
        return found

    # --- snapshots --------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """The whole state at once; for tests, and for a new cluster."""
        assert not self.unfinished, "not in the middle of an entry"
        state = self._state
        _, names = state.index.run(0, len(state.values))
        values = {name: state.values[name] for name in names}
        deadlines = {name: state.deadlines[name] for name in names if name in state.deadlines}
        since_gap = (
            None if state.since_gap is None else [name for name in names if name in state.since_gap]
        )
        before_gap, after_gap, last = self._rest()
        owners = {
            name: state.accounts.owners[name] for name in names if name in state.accounts.owners
        }
        rest = [*before_gap, since_gap, *after_gap, owners, *last]
        return msgspec.msgpack.encode(
            [
                FORMAT,
                state.time_ms,
                values,
                deadlines,
                self._sessions.dump(),
                self._producers.dump(),
                *rest,
            ]
        )

    def snapshot_bytes(self) -> int:
        """How many bytes `dump` makes, at most."""
        return self._state.dump_bytes() + self.beside_bytes

    def dump(self) -> Dump:
        """The same bytes, piece by piece; meanwhile entries may be applied. One at a time."""
        assert not self.unfinished, "not in the middle of an entry"
        return Dump(self._state, self._sessions, self._producers, *self._rest())

    def _rest(self) -> tuple[list[Any], list[Any], list[Any]]:
        """What a snapshot holds after the tables of counters, sessions and producers, but for the
        names of the gap after the first part, and for the owners after the second. New fields come
        last of all, and have a default in restore.py."""
        state = self._state
        limits = state.max_keys, state.watches.dump(), self.level, self._producers.most
        calendar = (state.offset_ms, state.agreed, state.jumps, state.jumped_ms, state.marks)
        scripts = [self._scripts.table.dump()] if self.level >= SCRIPTS_LEVEL else []
        after = [self.lineage, state.max_bytes, state.accounts.dump()]
        return [*limits, calendar], after, scripts

    @classmethod
    def restore(cls, data: bytes, knows: int = LEVEL) -> Machine:
        """Raises SnapshotFormatError for a format or a level of the future."""
        restoring = cls.restoring(data, knows)
        while not restoring.step():
            pass
        return restoring.machine

    @classmethod
    def restoring(cls, data: bytes, knows: int = LEVEL) -> Restoring:
        """The same in slices."""
        return Restoring(data, knows)

    def checksum(self) -> int:
        """Equal on replicas that are at the same entry. Costs as much as a snapshot."""
        return zlib.crc32(self.snapshot())


class Restoring:
    """A machine that is made from a snapshot, a slice at a time."""

    def __init__(self, data: bytes, knows: int) -> None:
        self.machine = Machine(knows=knows)
        self._restore = Restore(
            data,
            knows,
            self.machine._state,
            self.machine._sessions,
            self.machine._producers,
            self.machine._scripts.table,
        )

    def step(self) -> bool:
        """True when the machine is whole."""
        if not self._restore.step():
            return False
        self.machine.level, self.machine.lineage = self._restore.level, self._restore.lineage
        return True

    def close(self) -> None:
        """It is given up."""
        self._restore.close()
