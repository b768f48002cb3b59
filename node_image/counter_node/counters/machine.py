"""The state machine as Raft sees it: apply an entry, read, dump, restore."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import msgspec

from counter_node.counters import ops as o
from counter_node.counters.batches import TIME_BYTES, Batch, Op, OpenSession, Outcome, OutcomeKind, decode
from counter_node.counters.producers import Producers
from counter_node.counters.sessions import Sessions
from counter_node.counters.state import MAX, MIN, State

FORMAT = 1

Substitute = Callable[[int, int], list[Op] | None]
"""(session, number) → the full list of commands, reads included, if the batch is one's own."""


class _Dump(msgspec.Struct, array_like=True):
    """A snapshot's state. In the order of the tables, which is the same on every replica as all executed the same entries."""

    format: int
    time_ms: int
    values: dict[bytes, int]
    deadlines: dict[bytes, int]
    sessions: list[tuple[int, int, int]]
    producers: list[Any]


class SnapshotFormatError(Exception):
    """The snapshot was written by a newer version."""


class Machine:
    def __init__(self) -> None:
        self._state = State()
        self._sessions = Sessions()
        self._producers = Producers()

    # --- the log ------------------------------------------------------------------------------------------------------------

    def apply(self, index: int, payload: bytes, substitute: Substitute) -> Outcome:
        """Entries in their order, each once."""
        state = self._state
        state.advance(int.from_bytes(payload[:TIME_BYTES], "big"))
        now = state.time_ms
        self._sessions.evict(now)
        self._producers.evict(now)
        body = decode(memoryview(payload)[TIME_BYTES:])
        if type(body) is Batch:
            kind = self._sessions.admit(body.session, body.number, now)
            if kind is not OutcomeKind.EXECUTED:
                return Outcome(kind, body.session, body.number)
            own = substitute(body.session, body.number)
            return Outcome(kind, body.session, body.number, 0, self._execute_all(body.ops if own is None else own))
        if type(body) is OpenSession:
            self._sessions.open(index, now)
            return Outcome(OutcomeKind.SESSION_OPENED, index, 0, body.nonce)
        return Outcome(OutcomeKind.TICKED)

    def _execute_all(self, commands: list[Op]) -> list[Any]:
        state = self._state
        values, dirty, room = state.values, state.dirty, not state.full()
        replies: list[Any] = []
        reply = replies.append
        for op in commands:
            if op[0] == o.INCRBY and room:  # the hot path, without a call
                _, key, delta = op
                new = values.get(key, 0) + delta
                if MIN <= new <= MAX:
                    values[key] = new
                    reply(new)
                    if dirty is not None:
                        dirty.add(key)
                else:
                    reply(o.OVERFLOW)
            else:
                reply(self._execute(op))
                values, dirty, room = state.values, state.dirty, not state.full()
        return replies

    def _execute(self, op: Op) -> Any:
        code = op[0]
        if code == o.MULTI:
            return [self._execute(inner) for inner in op[1]]
        if code == o.IDMP:
            _, producer, sequence, inner = op
            return self._producers.once(producer, sequence, self._state.time_ms, lambda: self._execute(inner))
        return o.EXECUTE[code](self._state, op)

    def read(self, ops: list[Op]) -> list[Any]:
        """Changes nothing."""
        return [self._execute(op) for op in ops]

    # --- questions ----------------------------------------------------------------------------------------------------------

    @property
    def values(self) -> dict[bytes, int]:
        return self._state.values

    @property
    def time_ms(self) -> int:
        return self._state.time_ms

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
        if not found:
            return set()
        self._state.dirty = set()
        return found

    def counts(self) -> dict[str, int]:
        return {"keys": len(self._state.values), "expiring": len(self._state.deadlines), "sessions": len(self._sessions), "producers":
        len(self._producers)}

    # --- snapshots ----------------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        state = self._state
        dump = _Dump(FORMAT, state.time_ms, state.values, state.deadlines, self._sessions.dump(), self._producers.dump())
        return msgspec.msgpack.encode(dump)

    @classmethod
    def restore(cls, data: bytes) -> Machine:
        """Raises SnapshotFormatError for a format of the future."""
        dump = msgspec.msgpack.decode(data, type=_Dump)
        if dump.format != FORMAT:
            raise SnapshotFormatError(f"snapshot of format {dump.format}; this version reads {FORMAT}. Upgrade this node")
        machine = cls()
        machine._state.load(dump.values, dump.deadlines, dump.time_ms)
        machine._sessions.load(dump.sessions)
        machine._producers.load(dump.producers)
        return machine

    def checksum(self) -> int:
        return zlib.crc32(self.snapshot())
