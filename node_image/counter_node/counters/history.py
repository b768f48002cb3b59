"""Histories: which run of the log the state came from. Part of the replicated state, since level 4.

A term and an index name an entry only within one history. RAFT.RECOVER lets a survivor go on from
its own log and gives up what only the others had, so the same numbers stand for other entries
afterwards. So every history has a random id, which whoever keeps a position keeps with it: the
cache's fence, a peer that says "you were removed", the status.

1. A history begins once: when a cluster is formed, when RAFT.RECOVER gives up the others, or, for a
   cluster that was formed by an older version, when it reaches level 4.
2. Its id is 16 hex digits, made by the node that begins it. A pure room gets it as an argument.
3. The state keeps how it came about, the oldest first: each history is the parent of the next one.
   Of more than `MOST` the oldest are forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

FORMED, RECOVERED, UPGRADED = "bootstrap", "recover", "upgrade"
MOST: Final = 100


class History(msgspec.Struct, array_like=True, frozen=True):
    id: str
    index: int
    """Of its first entry, or of the snapshot that it begins with."""
    reason: str


Lineage = tuple[History, ...]
"""The oldest first; the last one is in force. Empty in a cluster below level 4."""


def ids(lineage: Lineage) -> tuple[str, ...]:
    return tuple(history.id for history in lineage)


def begun(lineage: Sequence[History], history: History) -> Lineage:
    """`lineage` once `history` is in force."""
    return (*lineage, history)[-MOST:]
