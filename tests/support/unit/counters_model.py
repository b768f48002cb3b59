"""The state machine once more, as naive as can be: it keeps all that ever happened and looks
through it for every answer. Nothing is shared with the real one but the numbers of operations and
the limits."""

from __future__ import annotations

import dataclasses
from typing import Any

from counter_node.counters import ops as o
from counter_node.counters import producers, sessions, weights
from counter_node.counters.batches import OutcomeKind
from counter_node.counters.replies import OK, Failure

MIN, MAX = -(2**63), 2**63 - 1
MAX_PRODUCERS = 2


@dataclasses.dataclass
class Model:
    max_keys: int
    time_ms: int = 0
    counters: dict[bytes, tuple[int, int | None]] = dataclasses.field(
        default_factory=dict
    )  # value, deadline
    executed: dict[int, list[int]] = dataclasses.field(
        default_factory=dict
    )  # session → every number that was executed
    heard: dict[int, int] = dataclasses.field(
        default_factory=dict
    )  # session → log time when it was last heard of
    order: list[int] = dataclasses.field(
        default_factory=list
    )  # sessions, the one idle longest first
    answers: dict[tuple[bytes, bytes], dict[int, Any]] = dataclasses.field(
        default_factory=dict
    )  # user and producer → every sequence → its answer
    seen: dict[tuple[bytes, bytes], int] = dataclasses.field(default_factory=dict)
    limits: dict[bytes, tuple[int | None, int | None]] = dataclasses.field(
        default_factory=dict
    )  # user → counters, bytes
    owners: dict[bytes, bytes] = dataclasses.field(
        default_factory=dict
    )  # key → user, as long as it is there
    actor: bytes | None = None

    def pass_time(self, time_ms: int) -> None:
        self.time_ms = max(self.time_ms, time_ms)
        self.counters = {
            k: (v, d) for k, (v, d) in self.counters.items() if d is None or d > self.time_ms
        }
        for session in [s for s in self.order if self.time_ms - self.heard[s] >= sessions.TTL_MS]:
            self._drop(session)
        for producer in [p for p, t in self.seen.items() if self.time_ms - t >= producers.TTL_MS]:
            del self.seen[producer], self.answers[producer]

    def _drop(self, session: int) -> None:
        self.order.remove(session)
        del self.executed[session], self.heard[session]

    def open(self, index: int) -> None:
        while len(self.order) >= sessions.MOST:
            self._drop(self.order[0])
        self.executed[index], self.heard[index] = [], self.time_ms
        self.order.append(index)

    def admit(self, session: int, number: int) -> OutcomeKind:
        if session not in self.executed:
            return OutcomeKind.UNKNOWN_SESSION
        self.heard[session] = self.time_ms
        self.order.remove(session)
        self.order.append(session)
        last = len(self.executed[session])
        if number == last + 1:
            self.executed[session].append(number)
            return OutcomeKind.EXECUTED
        return OutcomeKind.DUPLICATE if number <= last else OutcomeKind.GAP

    # --- operations -------------------------------------------------------------------------------

    def run(self, op: list[Any]) -> Any:
        op = [o.INCRBY, op, 1] if isinstance(op, bytes) else op
        code = op[0]
        if code == o.MULTI:
            return [self.run(inner) for inner in op[1]]
        if code == o.IDMP_OF:
            return self._once((op[1], op[2]), op[3], op[4])
        if code == o.AS:
            return self._as(op[1], op[2])
        table: dict[int, Any] = {
            o.INCRBY: self._incrby,
            o.GET: self._get,
            o.SET: self._set,
            o.DEL: self._del,
            o.EXPIRE: self._expire,
            o.TTL: self._ttl,
            o.PERSIST: self._persist,
            o.INCREX: self._increx,
            o.FLUSH: self._flush,
            o.MGET: lambda keys: [self._get(key) for key in keys],
            o.DBSIZE: lambda: len(self.counters),
        }
        return table[code](*op[1:])

    def _once(self, producer: tuple[bytes, bytes], sequence: int, inner: list[Any]) -> Any:
        known = self.answers.get(producer)
        if known is None and sequence != 1:
            return "expired"
        if known is not None:
            self.seen[producer] = self.time_ms
            if sequence <= max(known) - producers.WINDOW:
                return "expired"
            if sequence in known:
                return known[sequence]
            if sequence > max(known) + producers.MOST_AHEAD:
                return "too far"
        elif (
            len(self.answers) + sum(user == producer[0] for user, _ in self.answers)
            >= 2 * MAX_PRODUCERS
        ):
            return "too many"
        self.seen[producer] = self.time_ms
        answers = self.answers.setdefault(producer, {})
        answers[sequence] = None  # its turn is taken
        answers[sequence] = self._as(producer[0], inner)
        return answers[sequence]

    # --- users ------------------------------------------------------------------------------------

    def _as(self, user: bytes, inner: list[Any]) -> Any:
        self.actor = user if user in self.limits else None
        try:
            return self.run(inner)
        finally:
            self.actor = None

    def _keep(self, key: bytes, value: int, deadline: int | None) -> None:
        if key not in self.counters:
            self.owners.pop(key, None)
            if self.actor is not None:
                self.owners[key] = self.actor
        self.counters[key] = (value, deadline)

    def used(self, user: bytes) -> tuple[int, int]:
        mine = [key for key, owner in self.owners.items() if owner == user and key in self.counters]
        expiring = sum(self.counters[key][1] is not None for key in mine)
        size = (
            sum(weights.KEY + weights.OWNER + len(key) for key in mine)
            + weights.DEADLINE * expiring
        )
        return len(mine), size

    def _past(self, key: bytes, expiry: bool) -> bool:
        """One's own counters, or expiries on those, would be more than the limit."""
        if self.actor is None:
            return False
        keys, size = self.used(self.actor)
        most_keys, most_bytes = self.limits[self.actor]
        new = key not in self.counters
        more = weights.KEY + weights.OWNER + len(key) if new else 0
        if expiry and (
            new or (self.owners.get(key) == self.actor and self.counters[key][1] is None)
        ):
            more += weights.DEADLINE
        return (new and most_keys is not None and keys + 1 > most_keys) or (
            more > 0 and most_bytes is not None and size + more > most_bytes
        )

    def _full(self, key: bytes) -> bool:
        return key not in self.counters and len(self.counters) >= self.max_keys

    def _oom(self) -> Failure:
        return Failure(b"OOM too many counters; at most %d" % self.max_keys)

    def _value(self, key: bytes) -> int | None:
        return self.counters.get(key, (None, None))[0]

    def _incrby(self, key: bytes, delta: int) -> Any:
        if self._past(key, expiry=False):
            return "too many"
        if self._full(key):
            return self._oom()
        value, deadline = self.counters.get(key, (0, None))
        if not MIN <= value + delta <= MAX:
            return Failure(b"ERR increment or decrement would overflow")
        self._keep(key, value + delta, deadline)
        return value + delta

    def _get(self, key: bytes) -> bytes | None:
        value = self._value(key)
        return None if value is None else str(value).encode()

    def _deadline(self, key: bytes, value: int, old: int | None, kind: int, ms: int) -> None:
        deadline = {o.EX_NONE: None, o.EX_KEEP: old, o.EX_AT: ms, o.EX_IN: self.time_ms + ms}[kind]
        self._keep(key, value, deadline)
        if deadline is not None and deadline <= self.time_ms:
            del self.counters[key]

    def _set(
        self,
        key: bytes,
        value: int,
        condition: int,
        expected: int,
        kind: int,
        ms: int,
        give_old: bool,
    ) -> Any:
        old, deadline = self.counters.get(key, (None, None))
        met = {
            o.ALWAYS: True,
            o.IF_ABSENT: old is None,
            o.IF_PRESENT: old is not None,
            o.IF_EQUAL: old is not None and old == expected,
            o.IF_NOT_EQUAL: old is None or old != expected,
        }[condition]
        before = self._get(key)
        if not met:
            return before if give_old else None
        if self._past(key, kind in (o.EX_AT, o.EX_IN)):
            return "too many"
        if self._full(key):
            return self._oom()
        self._deadline(key, value, deadline, kind, ms)
        return before if give_old else OK

    def _del(self, keys: list[bytes]) -> int:
        return sum(self.counters.pop(key, None) is not None for key in keys)

    def _expire(self, key: bytes, kind: int, ms: int, condition: int) -> int:
        if key not in self.counters:
            return 0
        value, old = self.counters[key]
        new = ms if kind == o.EX_AT else self.time_ms + ms
        met = {
            o.ALWAYS: True,
            o.IF_ABSENT: old is None,
            o.IF_PRESENT: old is not None,
            o.IF_GREATER: new > (MAX if old is None else old),
            o.IF_LESS: new < (MAX if old is None else old),
        }[condition]
        if met and new > self.time_ms and self._past(key, expiry=True):
            return "too many"
        if met:
            self._deadline(key, value, old, kind, ms)
        return int(met)

    def _ttl(self, key: bytes, unit_ms: int, absolute: bool) -> int:
        if key not in self.counters:
            return -2
        deadline = self.counters[key][1]
        if deadline is None:
            return -1
        left = deadline if absolute else deadline - self.time_ms
        return left if unit_ms == 1 else (left + unit_ms // 2) // unit_ms

    def _persist(self, key: bytes) -> int:
        if self.counters.get(key, (0, None))[1] is None:
            return 0
        self.counters[key] = (self.counters[key][0], None)
        return 1

    def _increx(
        self,
        key: bytes,
        delta: int,
        low: int,
        high: int,
        saturate: bool,
        kind: int,
        ms: int,
        only_new: bool,
    ) -> Any:
        value, deadline = self.counters.get(key, (0, None))
        exact = value + delta
        if not low <= exact <= high:
            if not saturate:
                return [value, 0]
            exact = low if exact < low else high
        if not MIN <= exact - value <= MAX:
            return Failure(b"ERR applied increment would overflow")
        if self._past(key, kind in (o.EX_AT, o.EX_IN)):
            return "too many"
        if self._full(key):
            return self._oom()
        if only_new and deadline is not None:
            kind = o.EX_KEEP
        self._deadline(key, exact, deadline, kind, ms)
        return [exact, exact - value]

    def _flush(self) -> Any:
        self.counters = {}
        return OK
