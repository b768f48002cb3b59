"""What a full disk still takes: what makes the state smaller. Pure.

Without it nothing would help where a volume cannot grow: the log is let go only up to a snapshot,
and a snapshot needs room for the state as it is. So DEL, UNLINK, FLUSHALL, SCRIPT FLUSH, GETDEL,
UNWATCH and an expiry in the past go into the part of the segment that is kept for terms and votes,
half of it at most; then a snapshot is taken (node/). A transaction is let through when all that it
writes is of that kind. A script is not, whatever it would do: nobody knows before
it runs. (IDMP too, though it may add a producer: the library deletes with it.)

Deletions one by one could use up all of that room before they make any. So a leader leaves the last
eighth of it to what empties the state at once: FLUSHALL, and the registration that a gateway needs
for it. It does so alone, when it appends: what is in the log must find room on the others, or a
deletion there would stand in the way of the FLUSHALL behind it."""

from __future__ import annotations

import enum

from counter_node.counters import ops as o
from counter_node.counters.batches import (
    TIME_BYTES,
    Batch,
    Op,
    OpenSession,
    decode,
    decode_ops,
    ops_of,
)
from counter_node.raft.types import Entry, EntryKind

SHRINKING = frozenset({o.DEL, o.FLUSH, o.GETDEL, o.UNWATCH, o.SCRIPT_FLUSH})
_EMPTYING = o.READS | {o.FLUSH}
LAST_PART = 8
"""One part in so many of the room for deletions is left to what empties the state."""
EMPTYING_BYTES = 1_024
"""Of a body, at most: a FLUSHALL, alone or with a few others."""


class Relief(enum.IntEnum):
    """What an entry does for a full disk: the more, the more room it finds."""

    NONE = 0
    TICK = 1
    SMALLER = 2
    EMPTY = 3


def shrinks(op: Op, now_ms: int, utc_ms: int) -> bool:
    """Whether the operation leaves no more than there was. `now_ms`: log time, `utc_ms`: the
    calendar's."""
    return all(_shrinks(part, utc_ms) for part in o.parts(op))


def _shrinks(op: Op, utc_ms: int) -> bool:
    code = o.code_of(op)
    if code == o.EXPIRE:
        _, _, kind, ms, *_ = op
        return bool((kind == o.EX_IN and ms <= 0) or (kind == o.EX_AT and ms <= utc_ms))
    return code in SHRINKING or code in o.READS


def entry_shrinks(entry: Entry, now_ms: int, utc_ms: int) -> bool:
    """Whether nothing in the entry leaves more than there was."""
    return entry.kind is not EntryKind.DATA or all(
        shrinks(op, now_ms, utc_ms) for op in ops_of(entry.data[TIME_BYTES:])
    )


def empties(op: Op) -> bool:
    """Whether the operation consists of nothing but FLUSHALL and reads."""
    return all(o.code_of(part) in _EMPTYING for part in o.parts(op))


def relief_of(body: bytes, now_ms: int, utc_ms: int) -> Relief:
    """Of the body of an entry that a leader is about to append. What has no commands is small, and
    without it nothing goes on."""
    found = decode(body)
    if isinstance(found, OpenSession):
        return Relief.EMPTY
    ops = decode_ops(found.ops) if isinstance(found, Batch) else []
    if ops and len(body) <= EMPTYING_BYTES and all(empties(op) for op in ops):
        return Relief.EMPTY
    return Relief.SMALLER if all(shrinks(op, now_ms, utc_ms) for op in ops) else Relief.NONE
