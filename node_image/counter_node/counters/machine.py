"""The state machine as Raft sees it: apply an entry, read, dump, restore."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import msgspec

from counter_node.counters import ops as o
from counter_node.counters.batches import (
    TIME_BYTES,
    Batch,
    Begin,
    Body,
    Calendar,
    Jump,
    Level,
    Limits,
    Op,
    OpenSession,
    Outcome,
    OutcomeKind,
    decode,
    decode_ops,
)
from counter_node.counters.dump import Dump
from counter_node.counters.history import FORMED, UPGRADED, History, Lineage, begun
from counter_node.counters.increments import increments
from counter_node.counters.levels import HISTORY_LEVEL, LEVEL, LIMITS_LEVEL, OPCODES, TIME_LEVEL
from counter_node.counters.producers import MOST, Producers
from counter_node.counters.replies import NO_LIST
from counter_node.counters.sessions import Sessions
from counter_node.counters.state import MAX_KEYS, State

FORMAT = 1

Substitute = Callable[[int, int], list[Op] | None]
"""(session, number) → the full list of commands, reads included, if the batch is one's own."""


class _Dump(msgspec.Struct, array_like=True):
    """A snapshot's state. In the order of the tables, which is the same on every replica as all executed the same entries. (The order of sessions and
    producers is state: the first is the one idle longest.) New fields come last and have a default."""

    format: int
    time_ms: int
    values: dict[bytes, int]
    deadlines: dict[bytes, int]
    sessions: list[tuple[int, int, int]]
    producers: list[Any]
    max_keys: int = MAX_KEYS
    watches: list[Any] = []
    level: int = 1
    max_producers: int = MOST
    calendar: tuple[int, bool, int, int, int] = (0, False, 0, 0, 0)
    """Offset in ms, whether it was agreed on, jumps, their sum in ms, and marks. A snapshot from before level 4 has
    none: its log time was a wall's, so that log time itself is UTC as far as it is known."""
    since_gap: list[bytes] | None = None
    lineage: Lineage = ()


class SnapshotFormatError(Exception):
    """The snapshot was written by a newer version."""


class UnknownOperationError(Exception):
    """The log holds an operation of a newer version. Going on without it would make this replica differ: the node must stop."""


class Machine:
    def __init__(
        self, max_keys: int = MAX_KEYS, *, max_producers: int = MOST, knows: int = LEVEL, began_ms: int = 0, history: str = ""
    ) -> None:
        """The limits count when a cluster is formed, as do `knows`, the level of this version, `began_ms`,
        log time then, and `history`, the id of the one that begins: from then on all are part of the
        state."""
        self._state = State(max_keys)
        self._state.time_ms = began_ms
        self._sessions = Sessions()
        self._producers = Producers(max_producers)
        self.knows = self.level = knows
        self.lineage: Lineage = (History(history, 1, FORMED),) if history and knows >= HISTORY_LEVEL else ()

    @property
    def limits(self) -> Limits:
        return Limits(self._state.max_keys, self._producers.most)

    @property
    def producer_count(self) -> int:
        return len(self._producers)

    # --- the log ------------------------------------------------------------------------------------------------------------

    def apply(self, index: int, payload: bytes, substitute: Substitute) -> Outcome:
        """Entries in their order, each once. `substitute` is asked only for a batch that is going to be executed.

        Raises UnknownOperationError; the state is of no use afterwards, the log is.
        """
        state, sessions = self._state, self._sessions
        time_ms = int.from_bytes(payload[:TIME_BYTES], "big")
        if time_ms > state.time_ms:
            state.advance(time_ms)
        now = state.running_ms
        if now >= sessions.due_ms:
            sessions.evict(now)
        if now >= self._producers.due_ms:
            self._producers.evict(now)
        if state.watches.by_key:
            state.watches.evict(now)
        try:
            body = decode(memoryview(payload)[TIME_BYTES:])
        except msgspec.ValidationError as error:
            raise UnknownOperationError(f"entry {index} is of a kind that this version does not know ({error}); upgrade this node") from None
        if type(body) is Batch:
            kind = sessions.admit(body.session, body.number, now)
            if kind is not OutcomeKind.EXECUTED:
                return Outcome(kind, body.session, body.number)
            own = substitute(body.session, body.number)
            if own is None:
                self._execute_all(decode_ops(body.ops), None)
                return Outcome(kind, body.session, body.number)
            replies: list[Any] = []
            self._execute_all(own, replies)
            return Outcome(kind, body.session, body.number, 0, replies)
        if type(body) is OpenSession:
            sessions.open(index, now)
            return Outcome(OutcomeKind.SESSION_OPENED, index, 0, body.nonce)
        self._govern(index, body)
        return Outcome(OutcomeKind.TICKED)

    def _govern(self, index: int, body: Body) -> None:
        """What the leader put in for all."""
        if type(body) is Level:
            if body.level > self.knows:
                raise UnknownOperationError(f"the cluster is at level {body.level} and this version knows {self.knows}; upgrade this node")
            self.level = max(self.level, body.level)
        elif type(body) is Limits:
            self._allow(LIMITS_LEVEL, "the entry of limits")
            self._state.max_keys, self._producers.most = body.max_keys, body.max_producers
        elif type(body) is Jump:
            self._allow(TIME_LEVEL, "a jump of log time")
            self._state.jump(body.elapsed_ms, gap=body.gap)
        elif type(body) is Calendar:
            self._allow(TIME_LEVEL, "the entry of the calendar")
            self._state.set_calendar(body.offset_ms, agreed=body.agreed)
        elif type(body) is Begin:
            self._allow(HISTORY_LEVEL, "the entry of a history")
            if not self.lineage:
                self.begin_history(History(body.history, index, UPGRADED))

    def begin_history(self, history: History) -> None:
        self.lineage = begun(self.lineage, history)

    def _allow(self, level: int, what: str) -> None:
        """An operation of a level that the cluster has not reached means that somebody proposed what others may not know."""
        if level > self.knows:
            raise UnknownOperationError(f"{what} is of level {level} and this version knows {self.knows}; upgrade this node")
        assert level <= self.level, f"{what} is of level {level}, and the cluster at {self.level}"

    def _execute_all(self, commands: list[Op], replies: list[Any] | None) -> None:
        """`replies`: where they are added; None for a batch of another gateway, which nobody here waits for."""
        at = 0
        while (at := increments(self._state, commands, at, replies)) < len(commands):
            reply = self._execute(commands[at])
            if replies is not None:
                replies.append(reply)
            at += 1

    def _execute(self, op: Op) -> Any:
        if type(op) is bytes:
            return o.incrby(self._state, [o.INCRBY, op, 1])
        code = op[0]
        if code == o.MULTI:
            return [self._execute(inner) for inner in op[1]]
        if code == o.IDMP:
            _, producer, sequence, inner = op
            return self._producers.once(producer, sequence, self._state.running_ms, lambda: self._execute(inner))
        if code == o.EXEC_IF:
            _, watch, commands = op
            return [self._execute(inner) for inner in commands] if self._state.watches.end(watch) else NO_LIST
        execute = o.EXECUTE.get(code)
        if execute is None:
            raise UnknownOperationError(f"operation {code} is not known to this version; upgrade this node")
        if code > o.LAST_OF_LEVEL_1:
            self._allow(OPCODES[code], f"operation {code}")
        return execute(self._state, op)

    def read(self, ops: list[Op]) -> list[Any]:
        """Changes nothing. Raises ValueError for an operation that would."""
        for op in ops:
            if o.is_write(op):
                raise ValueError(f"operation {op[0]} writes; it must go through the log")
        return [self._execute(op) for op in ops]

    # --- questions ----------------------------------------------------------------------------------------------------------

    @property
    def values(self) -> dict[bytes, int]:
        return self._state.values

    @property
    def deadlines(self) -> dict[bytes, int]:
        return self._state.deadlines

    @property
    def time_ms(self) -> int:
        return self._state.time_ms

    @property
    def offset_ms(self) -> int:
        """UTC is log time plus this."""
        return self._state.offset_ms

    @property
    def calendar_agreed(self) -> bool:
        return self._state.agreed

    @property
    def gap(self) -> bool:
        """The cluster stood still, and log time has not made up for all of it."""
        return self._state.since_gap is not None

    @property
    def marks(self) -> int:
        """How often a gap began."""
        return self._state.marks

    @property
    def jumps(self) -> tuple[int, int]:
        """How often log time jumped, and by how many ms in all."""
        return self._state.jumps, self._state.jumped_ms

    def next_expiry_ms(self) -> int | None:
        return self._state.next_deadline()

    def last_number(self, session: int) -> int | None:
        return self._sessions.last_number(session)

    @property
    def track_dirty(self) -> bool:
        return self._state.dirty is not None

    @track_dirty.setter
    def track_dirty(self, on: bool) -> None:
        self._state.dirty = set() if on else None

    def take_dirty(self) -> set[bytes]:
        """Keys whose value changed, or that are gone, since the last call."""
        found = self._state.dirty
        if not found:  # nobody wants to know, or there is nothing to tell
            return set()
        self._state.dirty = set()
        return found

    def counts(self) -> dict[str, int]:
        state = self._state
        return {
            "keys": len(state.values),
            "expiring": len(state.deadlines),
            "sessions": len(self._sessions),
            "producers": len(self._producers),
            "watches": len(state.watches),
        }

    # --- snapshots ----------------------------------------------------------------------------------------------------------

    def _tables(self) -> tuple[Any, ...]:
        """What follows the two maps of counters."""
        state = self._state
        limits = state.max_keys, state.watches.dump(), self.level, self._producers.most
        calendar = (state.offset_ms, state.agreed, state.jumps, state.jumped_ms, state.marks)
        since_gap = None if state.since_gap is None else list(state.since_gap)
        return (self._sessions.dump(), self._producers.dump(), *limits, calendar, since_gap, self.lineage)

    def snapshot(self) -> bytes:
        state = self._state
        tables = self._tables()
        dump = _Dump(FORMAT, state.time_ms, state.values, state.deadlines, *tables)
        return msgspec.msgpack.encode(dump)

    def dump(self) -> Dump:
        """The same bytes, piece by piece; meanwhile entries may be applied. One at a time."""
        state = self._state
        tables = self._tables()
        rest = b"".join(map(msgspec.msgpack.encode, tables))
        fields = len(msgspec.structs.fields(_Dump))
        return Dump(state, bytes([0x90 | fields]) + msgspec.msgpack.encode(FORMAT) + msgspec.msgpack.encode(state.time_ms), rest)

    @classmethod
    def restore(cls, data: bytes, knows: int = LEVEL) -> Machine:
        """Raises SnapshotFormatError for a format or a level of the future."""
        dump = msgspec.msgpack.decode(data, type=_Dump)
        if dump.format != FORMAT:
            raise SnapshotFormatError(f"snapshot of format {dump.format}; this version reads {FORMAT}. Upgrade this node")
        if dump.level > knows:
            raise SnapshotFormatError(f"snapshot of a cluster at level {dump.level}; this version knows {knows}. Upgrade this node")
        machine = cls(dump.max_keys, max_producers=dump.max_producers, knows=knows)
        machine.level, machine.lineage = dump.level, dump.lineage
        machine._state.load(dump.values, dump.deadlines, dump.time_ms)
        machine._state.restore_calendar(*dump.calendar)
        machine._state.since_gap = None if dump.since_gap is None else dict.fromkeys(dump.since_gap)
        machine._sessions.load(dump.sessions)
        machine._producers.load(dump.producers)
        machine._state.watches.load(dump.watches)
        return machine

    def checksum(self) -> int:
        """Equal on replicas that are at the same entry. Costs as much as a snapshot."""
        return zlib.crc32(self.snapshot())
