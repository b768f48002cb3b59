"""Commands about counters: words in, one operation out. Only spelling is checked here; what depends
on the state is decided when the operation is applied."""

from __future__ import annotations

import re

from counter_node.counters import ops as o
from counter_node.counters.batches import Op
from counter_node.counters.keyspace import PLACES
from counter_node.counters.replies import pack
from counter_node.counters.state import MAX, MIN
from counter_node.resp.actions import Action, Read, Refusal, Reply, Slow, Steps, Write
from counter_node.resp.arguments import (
    MAX_PRODUCER_BYTES,
    SYNTAX,
    Expiry,
    Options,
    deadline_ms,
    expiry,
    integer,
    key,
    keys,
)
from counter_node.resp.session import Session
from counter_node.resp.transactions import once

_CURSOR = re.compile(rb"[+-]?\d{1,20}\Z|\Z")
PAIRS_AT_ONCE = 500
"""Of MSET, checked in one slice."""
MAX_PAGE = 10_000
MAX_PATTERN_BYTES = 1_024
"""Keys in one answer of SCAN."""
_EXPIRE_IF = {
    frozenset[bytes](): o.ALWAYS,
    frozenset({b"NX"}): o.IF_ABSENT,
    frozenset({b"XX"}): o.IF_PRESENT,
    frozenset({b"GT"}): o.IF_GREATER,
    frozenset({b"LT"}): o.IF_LESS,
    frozenset({b"XX", b"GT"}): o.IF_GREATER,  # which asks for an expiry anyway
    frozenset({b"XX", b"LT"}): o.IF_LESS_THAN_PRESENT,
}


def incr(_: Session, words: list[bytes]) -> Action:
    return Write(key(words[1]))


def decr(_: Session, words: list[bytes]) -> Action:
    return Write([o.INCRBY, key(words[1]), -1])


def incrby(_: Session, words: list[bytes]) -> Action:
    return Write([o.INCRBY, key(words[1]), integer(words[2])])


def decrby(_: Session, words: list[bytes]) -> Action:
    delta = integer(words[2])
    if delta == MIN:
        raise Refusal("ERR decrement would overflow")
    return Write([o.INCRBY, key(words[1]), -delta])


def increx(_: Session, words: list[bytes]) -> Action:
    delta, lower, upper, condition = 1, MIN, MAX, o.ALWAYS
    seen: set[bytes] = set()
    expires = Expiry("increx", o.EX_KEEP, b"PERSIST", o.EX_NONE)
    options = Options(words[2:])
    while options:
        option = options.word()
        group = _INCREX_OPTIONS.get(option)
        if group is None or group in seen:
            raise Refusal(SYNTAX)
        seen.add(group)
        if option == b"BYINT":
            delta = integer(options.value(), "ERR Increment is not an integer or out of range")
        elif option == b"BYFLOAT":
            raise Refusal("ERR BYFLOAT is not supported; counters are integers")
        elif option == b"LBOUND":
            lower = integer(options.value(), "ERR LBOUND is not an integer or out of range")
        elif option == b"UBOUND":
            upper = integer(options.value(), "ERR UBOUND is not an integer or out of range")
        elif group == b"condition":
            condition = o.IF_ABSENT if option == b"NX" else o.IF_PRESENT
        else:
            expires.takes(option, options)
    only_new = b"ENX" in seen
    if only_new and not expires.relative_or_absolute:
        raise Refusal(SYNTAX if expires.given else "ERR ENX flag requires an expiration")
    if lower > upper:
        raise Refusal("ERR LBOUND can't be greater than UBOUND")
    op = [
        o.INCREX,
        key(words[1]),
        delta,
        lower,
        upper,
        b"SATURATE" in seen,
        *expires.result(),
        only_new,
    ]
    return Write(op if condition == o.ALWAYS else [*op, condition])


_INCREX_OPTIONS = {
    b"BYINT": b"increment", b"BYFLOAT": b"increment", b"LBOUND": b"LBOUND", b"UBOUND": b"UBOUND",
    b"SATURATE": b"SATURATE", b"ENX": b"ENX",
    b"EX": b"expiry", b"PX": b"expiry", b"EXAT": b"expiry", b"PXAT": b"expiry",
    b"PERSIST": b"expiry", b"NX": b"condition", b"XX": b"condition",
}  # fmt: skip
"""Option → what may be given only once."""


def get(_: Session, words: list[bytes]) -> Action:
    return Read([o.GET, key(words[1])])


def set_(_: Session, words: list[bytes]) -> Action:
    condition, give_old = b"", False
    expected: bytes | None = None
    expires = Expiry("set", o.EX_NONE, b"KEEPTTL", o.EX_KEEP)
    options = Options(words[3:])
    while options:
        option = options.word()
        if option in _SET_IF:
            if condition not in (b"", option):
                raise Refusal(SYNTAX)
            condition = option
            expected = options.value() if option in (b"IFEQ", b"IFNE") else None
        elif option == b"GET":
            give_old = True
        elif not expires.takes(option, options):
            raise Refusal(SYNTAX)
    compared = None if expected is None else _integer_or_none(expected)
    return Write(
        _set(
            words[1],
            words[2],
            _SET_IF.get(condition, o.ALWAYS),
            compared,
            *expires.result(),
            give_old,
        )
    )


_SET_IF = {b"NX": o.IF_ABSENT, b"XX": o.IF_PRESENT, b"IFEQ": o.IF_EQUAL, b"IFNE": o.IF_NOT_EQUAL}


def _integer_or_none(word: bytes) -> int | None:
    """What a counter is compared with; no counter is like a word that is no integer."""
    try:
        return integer(word)
    except Refusal:
        return None


def _set(
    name: bytes,
    value: bytes,
    condition: int = o.ALWAYS,
    expected: int | None = None,
    kind: int = o.EX_NONE,
    ms: int = 0,
    give_old: bool = False,
) -> Op:
    return [o.SET, key(name), integer(value), condition, expected, kind, ms, give_old]


def getset(_: Session, words: list[bytes]) -> Action:
    return Write(_set(words[1], words[2], give_old=True))


def getdel(_: Session, words: list[bytes]) -> Action:
    return Write([o.GETDEL, key(words[1])])


def getex(_: Session, words: list[bytes]) -> Action:
    expires = Expiry("getex", o.EX_KEEP, b"PERSIST", o.EX_NONE)
    options = Options(words[2:])
    while options:
        if not expires.takes(options.word(), options):
            raise Refusal(SYNTAX)
    if not expires.given:
        return Read([o.GET, key(words[1])])
    return Write([o.GETEX, key(words[1]), *expires.result()])


def setnx(_: Session, words: list[bytes]) -> Action:
    return Write([o.MSET, [key(words[1]), integer(words[2])], True])


def setex(_: Session, words: list[bytes]) -> Action:
    kind, ms = expiry("setex", b"EX", words[2])
    return Write(_set(words[1], words[3], kind=kind, ms=ms))


def psetex(_: Session, words: list[bytes]) -> Action:
    kind, ms = expiry("psetex", b"PX", words[2])
    return Write(_set(words[1], words[3], kind=kind, ms=ms))


def mget(_: Session, words: list[bytes]) -> Action:
    return Read([o.MGET, keys(words[1:])])


def _mset(words: list[bytes], name: str, *, only_new: bool) -> Action | Slow:
    if len(words) % 2 == 0:
        raise Refusal(f"ERR wrong number of arguments for '{name}' command")
    steps = _pairs(words, only_new)
    return Slow(steps) if len(words) > 2 * PAIRS_AT_ONCE else Slow(steps).finish()


def _pairs(words: list[bytes], only_new: bool) -> Steps:
    pairs: list[bytes | int] = []
    for at in range(1, len(words), 2):
        pairs += (key(words[at]), integer(words[at + 1]))
        if at % (2 * PAIRS_AT_ONCE) == 2 * PAIRS_AT_ONCE - 1:
            yield
    return Write([o.MSET, pairs, only_new])


def mset(_: Session, words: list[bytes]) -> Action | Slow:
    return _mset(words, "mset", only_new=False)


def msetnx(_: Session, words: list[bytes]) -> Action | Slow:
    return _mset(words, "msetnx", only_new=True)


def delete(_: Session, words: list[bytes]) -> Action:
    return Write([o.DEL, keys(words[1:])])


def exists(_: Session, words: list[bytes]) -> Action:
    return Read([o.EXISTS, keys(words[1:])])


def strlen(_: Session, words: list[bytes]) -> Action:
    return Read([o.STRLEN, key(words[1])])


def randomkey(session: Session, _: list[bytes]) -> Action:
    return Read(session.within_its_patterns([o.RANDOMKEY, session.next_place()]))


def type_(_: Session, words: list[bytes]) -> Action:
    return Read([o.TYPE, key(words[1])])


def _expire(name: str, words: list[bytes], kind: int, unit_ms: int) -> Action:
    conditions = set()
    for word in words[3:]:
        if word.upper() not in (b"NX", b"XX", b"GT", b"LT"):
            raise Refusal(f"ERR Unsupported option {word.decode('latin-1')}")
        conditions.add(word.upper())
    if b"NX" in conditions and len(conditions) > 1:
        raise Refusal("ERR NX and XX, GT or LT options at the same time are not compatible")
    if {b"GT", b"LT"} <= conditions:
        raise Refusal("ERR GT and LT options at the same time are not compatible")
    ms = deadline_ms(name, kind, integer(words[2]), unit_ms)
    return Write([o.EXPIRE, key(words[1]), kind, ms, _EXPIRE_IF[frozenset(conditions)]])


def expire(_: Session, words: list[bytes]) -> Action:
    return _expire("expire", words, o.EX_IN, 1_000)


def pexpire(_: Session, words: list[bytes]) -> Action:
    return _expire("pexpire", words, o.EX_IN, 1)


def expireat(_: Session, words: list[bytes]) -> Action:
    return _expire("expireat", words, o.EX_AT, 1_000)


def pexpireat(_: Session, words: list[bytes]) -> Action:
    return _expire("pexpireat", words, o.EX_AT, 1)


def ttl(_: Session, words: list[bytes]) -> Action:
    return Read([o.TTL, key(words[1]), 1_000, False])


def pttl(_: Session, words: list[bytes]) -> Action:
    return Read([o.TTL, key(words[1]), 1, False])


def expiretime(_: Session, words: list[bytes]) -> Action:
    return Read([o.TTL, key(words[1]), 1_000, True])


def pexpiretime(_: Session, words: list[bytes]) -> Action:
    return Read([o.TTL, key(words[1]), 1, True])


def persist(_: Session, words: list[bytes]) -> Action:
    return Write([o.PERSIST, key(words[1])])


def _pattern(text: bytes) -> bytes:
    """What is compiled, on every replica when a script asks, takes as long as it is long."""
    if len(text) > MAX_PATTERN_BYTES:
        raise Refusal(f"ERR pattern of {len(text)} bytes; at most {MAX_PATTERN_BYTES}")
    return text


def scan(session: Session, words: list[bytes]) -> Action:
    if not _CURSOR.match(words[1]) or abs(int(words[1] or b"0")) >= 1 << 64:
        raise Refusal("ERR invalid cursor")
    cursor = int(words[1] or b"0") % (1 << 64)  # as unsigned numbers go in C
    pattern, count, wanted = None, 10, b"string"
    options = Options(words[2:])
    while options:
        option = options.word()
        if option == b"MATCH":
            pattern = _pattern(options.value())
        elif option == b"COUNT":
            count = integer(options.value())
            if count < 1:
                raise Refusal(SYNTAX)
        elif option == b"TYPE":
            wanted = options.value().lower()
        else:
            raise Refusal(SYNTAX)
    if wanted != b"string":
        return Reply([b"0", []])
    return Read(
        session.within_its_patterns([o.SCAN, min(cursor, PLACES), min(count, MAX_PAGE), pattern])
    )


def keys_(session: Session, words: list[bytes]) -> Action:
    return Read(session.within_its_patterns([o.KEYS, _pattern(words[1])]))


def dbsize(session: Session, words: list[bytes]) -> Action:
    return Read(session.within_its_patterns([o.DBSIZE]))


def flush(_: Session, words: list[bytes]) -> Action:
    if len(words) > 2 or (len(words) == 2 and words[1].upper() not in (b"ASYNC", b"SYNC")):
        raise Refusal(SYNTAX)
    return Write([o.FLUSH])


def idmp(session: Session, words: list[bytes]) -> Action | Slow:
    """IDMP producer sequence command…: the command is taken apart as if it stood alone. Whatever it
    answers, be it an error in its words, takes the sequence, so that a producer's sequences have no
    holes."""
    if not 0 < len(words[1]) <= MAX_PRODUCER_BYTES:
        raise Refusal(f"ERR producer id of {len(words[1])} bytes; 1 to {MAX_PRODUCER_BYTES}")
    sequence = integer(words[2], "ERR sequence is not a positive integer")
    if sequence < 1:
        raise Refusal("ERR sequence is not a positive integer")
    user = session.user_name.encode()
    inner = once(session, words[3:])
    if isinstance(inner, Slow):
        return Slow(_once(inner, user, words[1], sequence))
    return _idmp_of(user, words[1], sequence, inner)


def _once(inner: Slow, user: bytes, producer: bytes, sequence: int) -> Steps:
    while (action := inner.step()) is None:
        yield
    return _idmp_of(user, producer, sequence, action)


def _idmp_of(user: bytes, producer: bytes, sequence: int, inner: Action) -> Action:
    assert isinstance(inner, Reply | Read | Write)
    if isinstance(inner, Reply):
        return Write(o.idmp_of(user, producer, sequence, [o.CONSTANT, pack(inner.value)]))
    return Write(o.idmp_of(user, producer, sequence, inner.op), inner.held)
