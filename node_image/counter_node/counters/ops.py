"""The operations of the state machine: numbers that are written to the log (so they never change
their meaning), constructors, and what can be said of an operation without a state. What each does:
effects.py.

1. A constructor checks nothing: resp/keyed.py has done it. An operation never raises: what is
   refused is a `Failure`, and has changed nothing.
2. A reply follows from the state and the operation alone, in its order too, as it may be kept in
   the state (producers.py).
3. Numbers and the meaning of arguments are for ever. New arguments come last and have a default.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from counter_node.counters.batches import Op

INCRBY, GET, SET, DEL, MGET, EXISTS, EXPIRE, TTL, PERSIST, INCREX = range(1, 11)
MULTI, IDMP, FLUSH, DBSIZE, SCAN, KEYS, MSET, GETDEL, GETEX, TYPE = range(11, 21)
CONSTANT, DECRBY, STRLEN, RANDOMKEY = 21, 22, 23, 24
WATCH, UNWATCH, EXEC_IF = 25, 26, 27
TIMES = 28
IDMP_OF = 29
AS, WITHIN = 30, 31
EVAL, SCRIPT_LOAD, SCRIPT_FLUSH, SCRIPT_EXISTS = 32, 33, 34, 35
TIME = 36
LAST_OF_LEVEL_1: Final = EXEC_IF
"""Later ones have a level in levels.OPCODES, so that no older member of a cluster ever meets
them."""


READS: Final = frozenset(
    {GET, MGET, EXISTS, TTL, DBSIZE, SCAN, KEYS, TYPE, CONSTANT, STRLEN, RANDOMKEY, WITHIN, TIME,
     SCRIPT_EXISTS}
)  # fmt: skip
MAKES: Final = frozenset({INCRBY, DECRBY, SET, MSET, INCREX, TIMES, EXPIRE, GETEX, EVAL})
"""What may make a counter or an expiry."""


# How an expiry is given: relative to log time, absolute, none (clears), or kept as it is.
EX_IN, EX_AT, EX_NONE, EX_KEEP = 0, 1, 2, 3
# Conditions of SET and EXPIRE.
ALWAYS, IF_ABSENT, IF_PRESENT, IF_EQUAL, IF_GREATER, IF_LESS, IF_LESS_THAN_PRESENT, IF_NOT_EQUAL = (
    range(8)
)


def is_write(op: Op) -> bool:
    code = code_of(op)
    if code == MULTI:
        return any(is_write(inner) for inner in op[1])
    return code not in READS


def makes(op: Op) -> bool:
    """Whether it matters who gives this command. (Of IDMP_OF the log says it anyway.)"""
    code = code_of(op)
    if code in (MULTI, EXEC_IF):
        return any(makes(inner) for inner in op[-1])
    return code in MAKES


def code_of(op: Op) -> int:
    return INCRBY if type(op) is bytes else int(op[0])


def inside(op: Op) -> Sequence[Op] | None:
    """The operations that this one wraps; None where it wraps none."""
    code = code_of(op)
    if code in (MULTI, EXEC_IF):
        found: Sequence[Op] = op[-1]
        return found
    return [op[-1]] if code in (IDMP, IDMP_OF, AS) else None


def parts(op: Op) -> Iterator[Op]:
    """What is executed in the end: the commands of a transaction, and of one that is wrapped."""
    wrapped = inside(op)
    if wrapped is None:
        yield op
    else:
        for each in wrapped:
            yield from parts(each)


def scanned(op: Op, keys: int) -> int:
    """How many keys an operation looks at, where there are so many counters."""
    if type(op) is bytes:
        return 1
    code = op[0]
    if code in (KEYS, WITHIN):
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


def idmp_of(user: bytes, producer: bytes, sequence: int, inner: Op) -> Op:
    return [IDMP_OF, user, producer, sequence, inner]


def as_user(user: bytes, inner: Op) -> Op:
    """`inner` by this user, whose account (accounts.py) pays for what it makes."""
    return [AS, user, inner]


def within(patterns: Sequence[bytes], inner: Op) -> Op:
    """SCAN, KEYS, RANDOMKEY or DBSIZE of what matches one of the patterns alone (within.py)."""
    return [WITHIN, list(patterns), inner]
