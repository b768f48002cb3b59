"""Commands about counters: words in, one operation out. Only spelling is checked here; what depends on the state is decided when the operation is
applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counter_node.counters import ops as o
from counter_node.counters.batches import Op
from counter_node.counters.state import MAX, MIN
from counter_node.resp.actions import Action, Read, Refusal, Reply, Write
from counter_node.resp.arguments import MAX_PRODUCER_BYTES, SYNTAX, Options, expiry, integer, key, keys

if TYPE_CHECKING:
    from counter_node.resp.session import Session

_EXPIRIES = frozenset({b"EX", b"PX", b"EXAT", b"PXAT"})
_EXPIRE_IF = {b"NX": o.IF_ABSENT, b"XX": o.IF_PRESENT, b"GT": o.IF_GREATER, b"LT": o.IF_LESS}


def incr(_: Session, words: list[bytes]) -> Action:
    return Write([o.INCRBY, key(words[1]), 1])


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
    delta, lower, upper, saturate, kind, ms, only_new = 1, MIN, MAX, False, o.EX_KEEP, 0, False
    options = Options(words[2:])
    while options:
        option = options.word()
        if option == b"BYINT":
            delta = integer(options.value())
        elif option == b"LBOUND":
            lower = integer(options.value())
        elif option == b"UBOUND":
            upper = integer(options.value())
        elif option == b"SATURATE":
            saturate = True
        elif option == b"ENX":
            only_new = True
        elif option == b"PERSIST" and kind == o.EX_KEEP:
            kind = o.EX_NONE
        elif option in _EXPIRIES and kind == o.EX_KEEP:
            kind, ms = expiry("increx", option, options.value())
        else:
            raise Refusal(SYNTAX)
    if lower > upper:
        raise Refusal("ERR lower bound is above the upper bound")
    if only_new and kind in (o.EX_KEEP, o.EX_NONE):
        raise Refusal(SYNTAX)
    return Write([o.INCREX, key(words[1]), delta, lower, upper, saturate, kind, ms, only_new])


def get(_: Session, words: list[bytes]) -> Action:
    return Read([o.GET, key(words[1])])


def set_(_: Session, words: list[bytes]) -> Action:
    condition, expected, kind, ms, give_old = o.ALWAYS, 0, o.EX_NONE, 0, False
    options = Options(words[3:])
    while options:
        option = options.word()
        if option in (b"NX", b"XX") and condition == o.ALWAYS:
            condition = o.IF_ABSENT if option == b"NX" else o.IF_PRESENT
        elif option == b"IFEQ" and condition == o.ALWAYS:
            condition, expected = o.IF_EQUAL, integer(options.value())
        elif option == b"GET":
            give_old = True
        elif option == b"KEEPTTL" and kind == o.EX_NONE:
            kind = o.EX_KEEP
        elif option in _EXPIRIES and kind == o.EX_NONE:
            kind, ms = expiry("set", option, options.value())
        else:
            raise Refusal(SYNTAX)
    return Write(_set(words[1], words[2], condition, expected, kind, ms, give_old))


def _set(name: bytes, value: bytes, condition: int = o.ALWAYS, expected: int = 0, kind: int = o.EX_NONE, ms: int = 0, give_old: bool = False) -> Op:
    return [o.SET, key(name), integer(value), condition, expected, kind, ms, give_old]


def getset(_: Session, words: list[bytes]) -> Action:
    return Write(_set(words[1], words[2], give_old=True))


def getdel(_: Session, words: list[bytes]) -> Action:
    return Write([o.GETDEL, key(words[1])])


def getex(_: Session, words: list[bytes]) -> Action:
    kind, ms = o.EX_KEEP, 0
    options = Options(words[2:])
    while options:
        option = options.word()
        if option == b"PERSIST" and kind == o.EX_KEEP:
            kind = o.EX_NONE
        elif option in _EXPIRIES and kind == o.EX_KEEP:
            kind, ms = expiry("getex", option, options.value())
        else:
            raise Refusal(SYNTAX)
    if kind == o.EX_KEEP:
        return Read([o.GET, key(words[1])])
    return Write([o.GETEX, key(words[1]), kind, ms])


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


def _pairs(words: list[bytes], name: str) -> list[bytes | int]:
    if len(words) % 2 == 0:
        raise Refusal(f"ERR wrong number of arguments for '{name}' command")
    return [key(word) if position % 2 == 0 else integer(word) for position, word in enumerate(words[1:])]


def mset(_: Session, words: list[bytes]) -> Action:
    return Write([o.MSET, _pairs(words, "mset"), False])


def msetnx(_: Session, words: list[bytes]) -> Action:
    return Write([o.MSET, _pairs(words, "msetnx"), True])


def delete(_: Session, words: list[bytes]) -> Action:
    return Write([o.DEL, keys(words[1:])])


def exists(_: Session, words: list[bytes]) -> Action:
    return Read([o.EXISTS, keys(words[1:])])


def type_(_: Session, words: list[bytes]) -> Action:
    return Read([o.TYPE, key(words[1])])


def _expire(name: str, words: list[bytes], kind: int, unit_ms: int) -> Action:
    ms = integer(words[2]) * unit_ms
    if not MIN // 2 < ms < MAX // 2:
        raise Refusal(f"ERR invalid expire time in '{name}' command")
    conditions = {word.upper() for word in words[3:]}
    unknown = conditions - _EXPIRE_IF.keys()
    if unknown:
        raise Refusal(f"ERR Unsupported option {min(unknown).decode(errors='replace')}")
    if len(conditions) > 1:
        raise Refusal("ERR NX and XX, GT or LT options at the same time are not compatible")
    condition = _EXPIRE_IF[conditions.pop()] if conditions else o.ALWAYS
    return Write([o.EXPIRE, key(words[1]), kind, ms, condition])


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


def scan(_: Session, words: list[bytes]) -> Action:
    if not words[1].isdigit() or int(words[1]) > MAX:
        raise Refusal("ERR invalid cursor")
    pattern, count, wanted = None, 10, b"string"
    options = Options(words[2:])
    while options:
        option = options.word()
        if option == b"MATCH":
            pattern = options.value()
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
    return Read([o.SCAN, int(words[1]), min(count, 100_000), pattern])


def keys_(_: Session, words: list[bytes]) -> Action:
    return Read([o.KEYS, words[1]])


def dbsize(_: Session, words: list[bytes]) -> Action:
    return Read([o.DBSIZE])


def flush(_: Session, words: list[bytes]) -> Action:
    if len(words) > 2 or (len(words) == 2 and words[1].upper() not in (b"ASYNC", b"SYNC")):
        raise Refusal(SYNTAX)
    return Write([o.FLUSH])


def idmp(session: Session, words: list[bytes]) -> Action:
    """IDMP producer sequence command…: the command is taken apart as if it stood alone."""
    if not 0 < len(words[1]) <= MAX_PRODUCER_BYTES:
        raise Refusal(f"ERR producer id of {len(words[1])} bytes; 1 to {MAX_PRODUCER_BYTES}")
    sequence = integer(words[2], "ERR sequence is not a positive integer")
    if sequence < 1:
        raise Refusal("ERR sequence is not a positive integer")
    if session.queue is not None:
        raise Refusal("ERR IDMP is not allowed in a transaction")
    inner = session.handle(words[3:])
    if isinstance(inner, Reply):
        return inner
    if not isinstance(inner, Write) or inner.op[0] == o.IDMP:
        raise Refusal("ERR IDMP takes one command that writes")
    return Write([o.IDMP, words[1], sequence, inner.op])
