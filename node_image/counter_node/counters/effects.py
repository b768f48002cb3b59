"""What the operations do to the counters (ops.py has their numbers). An operation never raises:
what is refused is a `Failure`, and has changed nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

from counter_node.counters import ops as o
from counter_node.counters import weights
from counter_node.counters.batches import Op
from counter_node.counters.keyspace import matching
from counter_node.counters.quotas import over, refused
from counter_node.counters.replies import OK, Failure, Simple, unpack
from counter_node.counters.state import MAX, MIN, MOST_SCANNED, State

TOO_MANY_LISTED = Failure(
    b"ERR KEYS and SCAN look at %d counters at most in one transaction, KEYS also behind writes of"
    b" its pipeline; send it alone, or use SCAN" % MOST_SCANNED
)
RANDOM_PAGES, RANDOM_PAGE = 10, 100
PIECE: Final = 500
OVERFLOW = Failure(b"ERR increment or decrement would overflow")
TOO_HEAVY = (
    b"OOM the counters take %d bytes of %d (max_bytes, made from the memory limit); nothing new is"
    b" taken. Delete counters, or give the nodes more memory"
)
DELTA_OVERFLOW = Failure(b"ERR applied increment would overflow")


def too_many_keys(state: State) -> Failure:
    return Failure(b"OOM too many counters; at most %d" % state.max_keys)


def no_room(state: State, key: bytes, old: int | None, *, expiry: bool = False) -> Failure | None:
    """Why this key cannot become a counter, or get an expiry, if so. What exists already goes
    on."""
    if state.actor is not None and (refused := over(state, key, old, expiry=expiry)) is not None:
        return refused
    if old is None and state.full():
        return too_many_keys(state)
    if state.max_bytes:
        more = 0 if old is not None else state.new_bytes(1, len(key))
        if expiry and key not in state.deadlines:
            more += weights.DEADLINE
        if more and state.heavy(more):
            return too_heavy(state)
    return None


def too_heavy(state: State) -> Failure:
    return Failure(TOO_HEAVY % (state.taken(state.beside), state.max_bytes))


def _bytes(value: int | None) -> bytes | None:
    return None if value is None else b"%d" % value


def incrby(state: State, op: Op) -> Any:
    _, key, delta = op
    old = state.fetch(key)
    if old is None and (refused := no_room(state, key, old)) is not None:
        return refused
    new = (old or 0) + delta
    if not MIN <= new <= MAX:
        return OVERFLOW
    state.put(key, new)
    return new


def _get(state: State, op: Op) -> Any:
    return _bytes(state.get(op[1]))


def _set(state: State, op: Op) -> Any:
    """[SET, key, value, condition, expected or None, expiry kind, expiry ms, give the old value]"""
    _, key, value, condition, expected, kind, expiry_ms, give_old = op
    old = state.fetch(key)
    met = (
        condition == o.ALWAYS
        or (condition == o.IF_ABSENT and old is None)
        or (condition == o.IF_PRESENT and old is not None)
        or (condition == o.IF_EQUAL and old is not None and old == expected)
        or (condition == o.IF_NOT_EQUAL and old != expected)
    )
    if not met:
        return _bytes(old) if give_old else None
    if (refused := no_room(state, key, old, expiry=kind in (o.EX_AT, o.EX_IN))) is not None:
        return refused
    state.put(key, value)
    _set_expiry(state, key, kind, expiry_ms)
    return _bytes(old) if give_old else OK


def _set_expiry(state: State, key: bytes, kind: int, expiry_ms: int) -> None:
    if kind == o.EX_NONE:
        state.persist(key)
    elif kind == o.EX_AT:
        state.expire_at_utc(key, expiry_ms)
    elif kind == o.EX_IN:
        state.expire_in(key, expiry_ms)


def _delete(state: State, op: Op) -> int:
    return delete(state, op[1])


def delete(state: State, keys: Sequence[bytes]) -> int:
    return sum(state.fetch(key) is not None and state.remove(key) for key in keys)


def _mget(state: State, op: Op) -> list[bytes | None]:
    return [_bytes(state.get(key)) for key in op[1]]


def _exists(state: State, op: Op) -> int:
    return sum(state.get(key) is not None for key in op[1])


def _expire(state: State, op: Op) -> Any:
    """[EXPIRE, key, expiry kind, ms, condition]"""
    _, key, kind, expiry_ms, condition = op
    value = state.fetch(key)
    if value is None:
        return 0
    new = expiry_ms - state.offset_ms if kind == o.EX_AT else state.time_ms + expiry_ms
    old = state.deadlines.get(key)
    refused = (
        (condition == o.IF_ABSENT and old is not None)
        or (condition == o.IF_PRESENT and old is None)
        or (condition == o.IF_GREATER and (old is None or new <= old))
        or (condition == o.IF_LESS and old is not None and new >= old)
        or (condition == o.IF_LESS_THAN_PRESENT and (old is None or new >= old))
    )
    if refused:
        return 0
    if new > state.time_ms and (full := no_room(state, key, value, expiry=True)) is not None:
        return full
    _set_expiry(state, key, kind, expiry_ms)
    return 1


def _ttl(state: State, op: Op) -> int:
    """[TTL, key, unit in ms, absolute]"""
    _, key, unit_ms, absolute = op
    if state.get(key) is None:
        return -2
    deadline = state.deadlines.get(key)
    if deadline is None:
        return -1
    left_ms = deadline + state.offset_ms if absolute else deadline - state.time_ms
    return int((left_ms + unit_ms // 2) // unit_ms)


def _persist(state: State, op: Op) -> int:
    return int(state.fetch(op[1]) is not None and state.persist(op[1]))


def _increx(state: State, op: Op) -> Any:
    """[INCREX, key, delta, lower, upper, saturate, expiry kind, ms, only when it has none,
    condition = ALWAYS]: [new value, what was added]"""
    _, key, delta, lower, upper, saturate, kind, expiry_ms, only_new_expiry = op[:9]
    condition = op[9] if len(op) > 9 else o.ALWAYS
    old = state.fetch(key)
    now = old or 0
    wanted = now + delta
    new = min(max(wanted, lower), upper)
    condition_fails = (condition == o.IF_ABSENT and old is not None) or (
        condition == o.IF_PRESENT and old is None
    )
    if condition_fails or (new != wanted and not saturate):
        return [now, 0]
    if not MIN <= new - now <= MAX:
        return DELTA_OVERFLOW
    if (refused := no_room(state, key, old, expiry=kind in (o.EX_AT, o.EX_IN))) is not None:
        return refused
    state.put(key, new)
    if not (only_new_expiry and key in state.deadlines):
        _set_expiry(state, key, kind, expiry_ms)
    return [new, new - now]


def _flush(state: State, op: Op) -> Simple:
    state.clear()
    return OK


def _dbsize(state: State, op: Op) -> int:
    return state.count()


def _scan(state: State, op: Op) -> list[Any] | Failure:
    """[SCAN, cursor, count, pattern or None]: [next cursor, keys]"""
    _, cursor, count, pattern = op
    if not state.may_look_at(count):
        return TOO_MANY_LISTED
    following, keys = page(state, cursor, count)
    return [b"%d" % following, matching(keys, pattern)]


def page(state: State, cursor: int, count: int) -> tuple[int, list[bytes]]:
    """A page of the index without what is due, so it may hold less than `count`."""
    following, keys = state.index.page(cursor, count)
    return following, [key for key in keys if not state.is_due(key)] if state.backlog else keys


def _randomkey(state: State, op: Op) -> bytes | None:
    """[RANDOMKEY, place]: the first key from that place on. Where so many are due that a thousand
    names in a row are: none, though there may be."""
    following: int = op[1]
    for _ in range(RANDOM_PAGES):
        following, keys = page(state, following, 1 if not state.backlog else RANDOM_PAGE)
        if keys:
            return keys[0]
    return None


def _keys(state: State, op: Op) -> list[bytes] | Failure:
    """In a transaction or behind writes: all at once, so only of few. (Alone it walks,
    listing.py.)"""
    if not state.may_look_at(len(state.values)):
        return TOO_MANY_LISTED
    _, names = state.index.run(0, len(state.values))
    return matching(
        (name for name in names if not state.is_due(name)) if state.backlog else names, op[1]
    )


def mset(state: State, op: Op) -> Generator[None, None, Any]:
    """[MSET, [key, value, …], only when none exists], with a pause after each piece."""
    _, pairs, only_new = op
    keys: Sequence[bytes] = pairs[::2]
    new: set[bytes] = set()
    for number, key in enumerate(keys):
        if state.fetch(key) is None:
            new.add(key)
        elif only_new:
            return 0
        if number % PIECE == PIECE - 1:
            yield
    if new and (refused := _no_room_for(state, new)) is not None:
        return refused
    for number, key in enumerate(keys):
        state.put(key, pairs[2 * number + 1])
        state.persist(key)
        if number % PIECE == PIECE - 1:
            yield
    return 1 if only_new else OK


def _mset(state: State, op: Op) -> Any:
    steps = mset(state, op)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _no_room_for(state: State, new: set[bytes]) -> Failure | None:
    more = state.new_bytes(len(new), sum(map(len, new)))
    if state.actor is not None and (why := refused(state, len(new), more)) is not None:
        return why
    if state.full(len(new)):
        return too_many_keys(state)
    return too_heavy(state) if state.heavy(more) else None


def _getdel(state: State, op: Op) -> Any:
    old = _bytes(state.fetch(op[1]))
    state.remove(op[1])
    return old


def _getex(state: State, op: Op) -> Any:
    """[GETEX, key, expiry kind, ms]"""
    _, key, kind, expiry_ms = op
    value = state.fetch(key)
    if value is not None:
        if (
            kind in (o.EX_AT, o.EX_IN)
            and (refused := no_room(state, key, value, expiry=True)) is not None
        ):
            return refused
        _set_expiry(state, key, kind, expiry_ms)
    return _bytes(value)


def _type(state: State, op: Op) -> Simple:
    return Simple("none" if state.get(op[1]) is None else "string")


def _strlen(state: State, op: Op) -> int:
    value = state.get(op[1])
    return 0 if value is None else len(str(value))


def _constant(state: State, op: Op) -> Any:
    return unpack(op[1])


def _decrby(state: State, op: Op) -> Any:
    return incrby(state, [o.INCRBY, op[1], -op[2]])


def _watch(state: State, op: Op) -> Simple:
    """[WATCH, name, keys]"""
    _, name, keys = op
    if state.backlog:
        for key in keys:  # else its removal would break a watch that began after it
            state.fetch(key)
    state.watches.add(name, keys, state.running_ms)
    return OK


def _unwatch(state: State, op: Op) -> Any:
    """[UNWATCH, name, packed reply]"""
    _, name, reply = op
    state.watches.end(name)
    return unpack(reply)


def _time(state: State, op: Op) -> list[bytes]:
    """[TIME]: log time as UTC, for scripts."""
    utc_ms = state.time_ms + state.offset_ms
    return [b"%d" % (utc_ms // 1_000), b"%d" % (utc_ms % 1_000 * 1_000)]


def _times(state: State, op: Op) -> Any:
    """[TIMES, key, n]: `n` increments by one, or as many as there is room for; for who needs no
    reply to each of them (repeats.py)."""
    _, key, times = op
    old = state.fetch(key)
    if old is None and (refused := no_room(state, key, old)) is not None:
        return refused
    new = min((old or 0) + times, MAX)
    if new != old:
        state.put(key, new)
    return new


EXECUTE: dict[int, Callable[[State, Op], Any]] = {
    o.INCRBY: incrby,
    o.GET: _get,
    o.SET: _set,
    o.DEL: _delete,
    o.MGET: _mget,
    o.EXISTS: _exists,
    o.EXPIRE: _expire,
    o.TTL: _ttl,
    o.PERSIST: _persist,
    o.INCREX: _increx,
    o.FLUSH: _flush,
    o.DBSIZE: _dbsize,
    o.SCAN: _scan,
    o.KEYS: _keys,
    o.MSET: _mset,
    o.GETDEL: _getdel,
    o.GETEX: _getex,
    o.TYPE: _type,
    o.CONSTANT: _constant,
    o.DECRBY: _decrby,
    o.STRLEN: _strlen,
    o.RANDOMKEY: _randomkey,
    o.WATCH: _watch,
    o.UNWATCH: _unwatch,
    o.TIMES: _times,
    o.TIME: _time,
}
"""MULTI, EXEC_IF, IDMP, IDMP_OF, AS and WITHIN are execution.py's, as they execute others; EVAL and
SCRIPT_* are scripts.py's."""
