"""What a full disk still takes: what makes the state smaller. Pure.

Without it nothing would help where a volume cannot grow: the log is let go only up to a snapshot,
and a snapshot needs room for the state as it is. So DEL, UNLINK, FLUSHALL, GETDEL, UNWATCH and an
expiry in the past go into the part of the segment that is kept for terms and votes, half of it at
most; then a snapshot is taken (node/). A transaction is let through when all that it writes is of
that kind. (IDMP too, though it may add a producer: the library deletes with it.)"""

from __future__ import annotations

from collections.abc import Iterable

from counter_node.counters import ops as o
from counter_node.counters.batches import TIME_BYTES, Op, ops_of
from counter_node.raft.types import Entry, EntryKind

SHRINKING = frozenset({o.DEL, o.FLUSH, o.GETDEL, o.UNWATCH})


def shrinks(op: Op, now_ms: int, utc_ms: int) -> bool:
    """Whether the operation leaves no more than there was. `now_ms`: log time, `utc_ms`: the
    calendar's."""
    code = o.code_of(op)
    if code == o.MULTI:
        return all(shrinks(inner, now_ms, utc_ms) for inner in op[1])
    if code == o.EXEC_IF:
        return all(shrinks(inner, now_ms, utc_ms) for inner in op[2])
    if code in (o.IDMP, o.IDMP_OF, o.AS):
        return shrinks(op[-1], now_ms, utc_ms)
    if code == o.EXPIRE:
        _, _, kind, ms, *_ = op
        return bool((kind == o.EX_IN and ms <= 0) or (kind == o.EX_AT and ms <= utc_ms))
    return code in SHRINKING or code in o.READS


def entries_shrink(entries: Iterable[Entry], now_ms: int, utc_ms: int) -> bool:
    """Whether nothing in these entries leaves more than there was."""
    return all(
        e.kind is not EntryKind.DATA or body_shrinks(e.data[TIME_BYTES:], now_ms, utc_ms)
        for e in entries
    )


def body_shrinks(body: bytes, now_ms: int, utc_ms: int) -> bool:
    """What is no batch has no commands: a tick, a registration. They are small, and without them
    nothing goes on."""
    return all(shrinks(op, now_ms, utc_ms) for op in ops_of(body))
