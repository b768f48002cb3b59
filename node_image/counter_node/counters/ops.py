"""The operations of the state machine: numbers that are written to the log (so they never change their meaning), constructors, and what they do.

1. A constructor checks nothing: resp/keyed.py has done it. An operation never raises: what is refused is a `Failure`, and has changed nothing.
2. A reply follows from the state and the operation alone, in its order too, as it may be kept in the state (producers.py).
3. Numbers and the meaning of arguments are for ever. New arguments come last and have a default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from counter_node.counters.batches import Op
from counter_node.counters.keyspace import matching
from counter_node.counters.replies import OK, Failure, Simple, unpack
from counter_node.counters.state import MAX, MIN, State

INCRBY, GET, SET, DEL, MGET, EXISTS, EXPIRE, TTL, PERSIST, INCREX = range(1, 11)
MULTI, IDMP, FLUSH, DBSIZE, SCAN, KEYS, MSET, GETDEL, GETEX, TYPE = range(11, 21)
CONSTANT, DECRBY, STRLEN, RANDOMKEY = 21, 22, 23, 24
WATCH, UNWATCH, EXEC_IF = 25, 26, 27
TIMES = 28
LAST_OF_LEVEL_1: Final = EXEC_IF
"""Later ones have a level in levels.OPCODES, so that no older member of a cluster ever meets them."""

READS: Final = frozenset({GET, MGET, EXISTS, TTL, DBSIZE, SCAN, KEYS, TYPE, CONSTANT, STRLEN, RANDOMKEY})

OVERFLOW = Failure(b"ERR increment or decrement would overflow")
DELTA_OVERFLOW = Failure(b"ERR applied increment would overflow")

# How an expiry is given: relative to log time, absolute, none (clears), or kept as it is.
EX_IN, EX_AT, EX_NONE, EX_KEEP = 0, 1, 2, 3
# Conditions of SET and EXPIRE.
ALWAYS, IF_ABSENT, IF_PRESENT, IF_EQUAL, IF_GREATER, IF_LESS, IF_LESS_THAN_PRESENT, IF_NOT_EQUAL = range(8)


def is_write(op: Op) -> bool:
    code = code_of(op)
    if code == MULTI:
        return any(is_write(inner) for inner in op[1])
    return code not in READS


def code_of(op: Op) -> int:
    return INCRBY if type(op) is bytes else int(op[0])


def looked_at(op: Op, keys: int) -> int:
    """How many keys an operation looks at, where there are so many counters."""
    if type(op) is bytes:
        return 1
    code = op[0]
    if code == KEYS:
        return 1 + keys
    if code == SCAN:
        return 1 + min(int(op[2]), keys)
    return len(op[1]) if code in (MGET, EXISTS, DEL, MSET) else 1


def incr(key: bytes) -> Op:
    return key


def get(key: bytes) -> Op:
    return [GET, key]


def idmp(producer: bytes, sequence: int, inner: Op) -> Op:
    return [IDMP, producer, sequence, inner]


def too_many_keys(state: State) -> Failure:
    return Failure(b"OOM too many counters; at most %d" % state.max_keys)


def _bytes(value: int | None) -> bytes | None:
    return None if value is None else b"%d" % value


def incrby(state: State, op: Op) -> Any:
    _, key, delta = op
    old = state.values.get(key)
    if old is None and state.full():
        return too_many_keys(state)
    new = (old or 0) + delta
    if not MIN <= new <= MAX:
        return OVERFLOW
    state.put(key, new)
    return new


def _get(state: State, op: Op) -> Any:
    return _bytes(state.values.get(op[1]))


def _set(state: State, op: Op) -> Any:
    """[SET, key, value, condition, expected or None, expiry kind, expiry ms, give the old value]"""
    _, key, value, condition, expected, kind, expiry_ms, give_old = op
    old = state.values.get(key)
    met = (
        condition == ALWAYS
        or (condition == IF_ABSENT and old is None)
        or (condition == IF_PRESENT and old is not None)
        or (condition == IF_EQUAL and old is not None and old == expected)
        or (condition == IF_NOT_EQUAL and old != expected)
    )
    if not met:
        return _bytes(old) if give_old else None
    if old is None and state.full():
        return too_many_keys(state)
    state.put(key, value)
    _set_expiry(state, key, kind, expiry_ms)
    return _bytes(old) if give_old else OK


def _set_expiry(state: State, key: bytes, kind: int, expiry_ms: int) -> None:
    if kind == EX_NONE:
        state.persist(key)
    elif kind == EX_AT:
        state.expire_at_utc(key, expiry_ms)
    elif kind == EX_IN:
        state.expire_in(key, expiry_ms)


def _delete(state: State, op: Op) -> int:
    return sum(state.remove(key) for key in op[1])


def _mget(state: State, op: Op) -> list[bytes | None]:
    return [_bytes(state.values.get(key)) for key in op[1]]


def _exists(state: State, op: Op) -> int:
    return sum(key in state.values for key in op[1])


def _expire(state: State, op: Op) -> int:
    """[EXPIRE, key, expiry kind, ms, condition]"""
    _, key, kind, expiry_ms, condition = op
    if key not in state.values:
        return 0
    new = expiry_ms - state.offset_ms if kind == EX_AT else state.time_ms + expiry_ms
    old = state.deadlines.get(key)
    refused = (
        (condition == IF_ABSENT and old is not None)
        or (condition == IF_PRESENT and old is None)
        or (condition == IF_GREATER and (old is None or new <= old))
        or (condition == IF_LESS and old is not None and new >= old)
        or (condition == IF_LESS_THAN_PRESENT and (old is None or new >= old))
    )
    if refused:
        return 0
    _set_expiry(state, key, kind, expiry_ms)
    return 1


def _ttl(state: State, op: Op) -> int:
    """[TTL, key, unit in ms, absolute]"""
    _, key, unit_ms, absolute = op
    if key not in state.values:
        return -2
    deadline = state.deadlines.get(key)
    if deadline is None:
        return -1
    left_ms = deadline + state.offset_ms if absolute else deadline - state.time_ms
    return int((left_ms + unit_ms // 2) // unit_ms)


def _persist(state: State, op: Op) -> int:
    return int(op[1] in state.values and state.persist(op[1]))


def _increx(state: State, op: Op) -> Any:
    """[INCREX, key, delta, lower, upper, saturate, expiry kind, ms, only when it has none, condition = ALWAYS]: [new value, what was added]"""
    _, key, delta, lower, upper, saturate, kind, expiry_ms, only_new_expiry = op[:9]
    condition = op[9] if len(op) > 9 else ALWAYS
    old = state.values.get(key)
    now = old or 0
    wanted = now + delta
    new = min(max(wanted, lower), upper)
    condition_fails = (condition == IF_ABSENT and old is not None) or (condition == IF_PRESENT and old is None)
    if condition_fails or (new != wanted and not saturate):
        return [now, 0]
    if not MIN <= new - now <= MAX:
        return DELTA_OVERFLOW
    if old is None and state.full():
        return too_many_keys(state)
    state.put(key, new)
    if not (only_new_expiry and key in state.deadlines):
        _set_expiry(state, key, kind, expiry_ms)
    return [new, new - now]


def _flush(state: State, op: Op) -> Simple:
    state.clear()
    return OK


def _dbsize(state: State, op: Op) -> int:
    return len(state.values)


def _scan(state: State, op: Op) -> list[Any]:
    """[SCAN, cursor, count, pattern or None]: [next cursor, keys]"""
    _, cursor, count, pattern = op
    following, keys = state.index.page(cursor, count)
    return [b"%d" % following, matching(keys, pattern)]


def _randomkey(state: State, op: Op) -> bytes | None:
    """[RANDOMKEY, place]: the first key from that place on."""
    index = state.index
    keys = index.page(op[1], 1)[1] or index.page(0, 1)[1]
    return keys[0] if keys else None


def _keys(state: State, op: Op) -> list[bytes]:
    return matching(state.values, op[1])


def _mset(state: State, op: Op) -> Any:
    """[MSET, [key, value, …], only when none exists]"""
    _, pairs, only_new = op
    keys: Sequence[bytes] = pairs[::2]
    if only_new and any(key in state.values for key in keys):
        return 0
    if len(state.values) + len(set(keys).difference(state.values)) > state.max_keys:
        return too_many_keys(state)
    for key, value in zip(keys, pairs[1::2], strict=True):
        state.put(key, value)
        state.persist(key)
    return 1 if only_new else OK


def _getdel(state: State, op: Op) -> Any:
    old = _bytes(state.values.get(op[1]))
    state.remove(op[1])
    return old


def _getex(state: State, op: Op) -> Any:
    """[GETEX, key, expiry kind, ms]"""
    _, key, kind, expiry_ms = op
    old = _bytes(state.values.get(key))
    if old is not None:
        _set_expiry(state, key, kind, expiry_ms)
    return old


def _type(state: State, op: Op) -> Simple:
    return Simple("string" if op[1] in state.values else "none")


def _strlen(state: State, op: Op) -> int:
    value = state.values.get(op[1])
    return 0 if value is None else len(str(value))


def _constant(state: State, op: Op) -> Any:
    return unpack(op[1])


def _decrby(state: State, op: Op) -> Any:
    return incrby(state, [INCRBY, op[1], -op[2]])


def _watch(state: State, op: Op) -> Simple:
    """[WATCH, name, keys]"""
    _, name, keys = op
    state.watches.add(name, keys, state.running_ms)
    return OK


def _unwatch(state: State, op: Op) -> Any:
    """[UNWATCH, name, packed reply]"""
    _, name, reply = op
    state.watches.end(name)
    return unpack(reply)


def _times(state: State, op: Op) -> Any:
    """[TIMES, key, n]: `n` increments by one, or as many as there is room for; for who needs no reply to each of them (repeats.py)."""
    _, key, times = op
    old = state.values.get(key)
    if old is None and state.full():
        return too_many_keys(state)
    new = min((old or 0) + times, MAX)
    if new != old:
        state.put(key, new)
    return new


EXECUTE: dict[int, Callable[[State, Op], Any]] = {
    INCRBY: incrby,
    GET: _get,
    SET: _set,
    DEL: _delete,
    MGET: _mget,
    EXISTS: _exists,
    EXPIRE: _expire,
    TTL: _ttl,
    PERSIST: _persist,
    INCREX: _increx,
    FLUSH: _flush,
    DBSIZE: _dbsize,
    SCAN: _scan,
    KEYS: _keys,
    MSET: _mset,
    GETDEL: _getdel,
    GETEX: _getex,
    TYPE: _type,
    CONSTANT: _constant,
    DECRBY: _decrby,
    STRLEN: _strlen,
    RANDOMKEY: _randomkey,
    WATCH: _watch,
    UNWATCH: _unwatch,
    TIMES: _times,
}
"""MULTI, EXEC_IF and IDMP are the machine's (machine.py), as they execute others."""
