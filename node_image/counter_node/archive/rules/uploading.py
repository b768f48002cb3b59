"""What to write next, given what a member has and what is there. Pure.

The log in the archive is one line from index 1 on, without a choice anywhere: each object begins
where the one before ends, and can be created once.

1. Only committed entries. What Raft committed at an index is the same for ever, so a change of
   leader changes nothing here, and any member may write.
2. A member may lack what comes next: its log was compacted, or an object is damaged and its name is
   taken. Then a snapshot goes first, whole, and a *gap* object takes the place of the entries that
   are missing. It is created like any other, so that a late writer of these entries meets it, and
   goes on behind it. A history begins that way too: nobody has its first entries as such. Beside a
   damaged object stands one that says so, under a name made of its own: the line stays one.
3. Log before snapshots: what is not archived yet is what can be lost. A snapshot only makes a
   restore shorter. One is due when enough log was archived since the one before.
4. Another content under a name is compared. The same entries, cut elsewhere: go on behind them.
   Other entries: a fork, which ends the uploads of this member and overwrites nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from counter_node.archive.rules.errors import ForkedError
from counter_node.archive.rules.names import log_name
from counter_node.archive.rules.objects import LogPiece
from counter_node.raft.types import Entry

LOG_BYTES: Final = 4 << 20
"""Of entries in one object, but for one that is larger by itself."""
PART_BYTES: Final = 8 << 20
SNAPSHOT_AFTER_BYTES: Final = 64 << 20
"""Of log since the newest snapshot in the archive."""


class Have(msgspec.Struct, frozen=True):
    """What a member has. `first`: of the entries that are still in its log. `snapshot`: the index
    of its newest one, 0 without one."""

    committed: int
    first: int
    snapshot: int


class There(msgspec.Struct):
    """What is in the archive. `end`: the last index that the line reaches, entries or gap."""

    lineage: bool = False
    end: int = 0
    snapshot: int = 0
    log_bytes: int = 0
    """Archived since that snapshot."""
    damaged: set[int] = set()
    """First indexes of log objects that cannot be read; their names are taken."""
    useless: set[int] = set()
    """Indexes of snapshots whose objects the store did not keep as they were written."""


class WriteLineage(msgspec.Struct, frozen=True):
    pass


class WriteLog(msgspec.Struct, frozen=True):
    first: int
    last: int


class WriteGap(msgspec.Struct, frozen=True):
    """Entries `first`..`last` are not archived; the snapshot at `last` stands for them."""

    first: int
    last: int


class PassDamaged(msgspec.Struct, frozen=True):
    """The object that begins at `first` is damaged, and stays. Another one beside it says that the
    line goes on behind the snapshot at `last`."""

    first: int
    last: int


class WriteSnapshot(msgspec.Struct, frozen=True):
    index: int


class NeedSnapshot(msgspec.Struct, frozen=True):
    """Nothing can be written before the member takes a snapshot beyond `index`."""

    index: int
    reason: str


Step = WriteLineage | WriteLog | WriteGap | PassDamaged | WriteSnapshot | NeedSnapshot | None


def next_step(
    have: Have, there: There, *, log_due: bool = True, snapshot_after: int = SNAPSHOT_AFTER_BYTES
) -> Step:
    """One write, or None when all is there. `log_due`: the interval is over."""
    if not there.lineage:
        return WriteLineage()
    usable = have.snapshot if have.snapshot not in there.useless else 0
    if not there.snapshot:
        return _snapshot(usable, 0, "the archive has none yet")
    due = there.end + 1
    damaged = due in there.damaged
    if damaged or due < have.first:
        if there.snapshot >= due:
            return PassDamaged(due, there.snapshot) if damaged else WriteGap(due, there.snapshot)
        reason = "is damaged in the archive" if damaged else "is no longer in the log"
        return _snapshot(usable, there.end, f"entry {due} {reason}")
    if log_due and have.committed >= due:
        return WriteLog(due, have.committed)
    if usable > there.snapshot and usable <= there.end and there.log_bytes >= snapshot_after:
        return WriteSnapshot(usable)
    return None


def _snapshot(index: int, beyond: int, reason: str) -> Step:
    return WriteSnapshot(index) if index > beyond else NeedSnapshot(beyond, reason)


def one_object(entries: Sequence[Entry], limit: int = LOG_BYTES) -> int:
    """How many of these go into one object; at least one."""
    size = 0
    for count, entry in enumerate(entries):
        size += len(entry.data)
        if size > limit and count:
            return count
    return len(entries)


def compare(history: str, piece: LogPiece, entries: Sequence[Entry]) -> None:
    """Raises ForkedError where an entry of the archive is another one than the member's of the same
    index. Indexes that only one of the two has are passed over."""
    own = {entry.index: entry for entry in entries}
    for entry in piece.entries:
        mine = own.get(entry.index)
        if mine is not None and mine != entry:
            raise ForkedError(
                log_name(history, piece.facts.first),
                f"has another entry {entry.index} (of term {entry.term}) than this member (of "
                f"term {mine.term})",
            )
