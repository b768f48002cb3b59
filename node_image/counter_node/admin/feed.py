"""What the archive's uploader reads of a node: applied entries and the snapshot in force, piece by
piece (archive/rules/feed.py).

It only reads, and each answer is bounded: the node's turns are not held up, and an uploader that is
slow, dead or asked twice costs nothing but itself. The file of a snapshot is read on a thread, by
whatever sends snapshots to other members too.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from counter_node.archive.rules.feed import Feed, encode
from counter_node.raft.messages import InstallSnapshot
from counter_node.raft.types import Entry
from counter_node.replica.replica import Replica
from counter_node.settings import Settings
from counter_node.storage import StorageError

ENTRIES_BYTES: Final = 512 << 10
"""Of one answer, but for an entry that is larger by itself."""
_encode = msgspec.msgpack.Encoder().encode


class Unavailable(Exception):
    """Not now, in words; asking again from the beginning helps."""


class Pieces(Protocol):
    async def fill(self, message: InstallSnapshot) -> InstallSnapshot: ...


class Fed(Protocol):
    settings: Settings
    replica: Replica

    @property
    def sender(self) -> Pieces: ...


def feed(node: Fed) -> bytes:
    replica = node.replica
    if replica.applying.restoring:
        raise Unavailable("a snapshot is being put in force")
    lineage = replica.machine.lineage
    if not lineage or not replica.raft.snapshot.index:
        raise Unavailable(
            "there is nothing to archive: this node belongs to no cluster, or its cluster is "
            "below level 4 and has no history"
        )
    return encode(
        Feed(
            node.settings.cluster_id,
            lineage,
            replica.applied,
            replica.raft.log.offset + 1,
            replica.raft.snapshot,
        )
    )


def entries(node: Fed, first: int, last: int) -> bytes:
    """MessagePack: a list of entries from `first` on, up to `last` or fewer."""
    log = node.replica.raft.log
    if not log.offset < first <= node.replica.applied:
        raise Unavailable(
            f"entries {log.offset + 1} to {node.replica.applied} are here, and not {first}"
        )
    last = min(last, node.replica.applied)
    found: list[Entry] = [e for e in log.slice(first, ENTRIES_BYTES) if e.index <= last]
    return _encode(found)


async def piece(node: Fed, index: int, offset: int) -> bytes:
    """Of the state of the snapshot in force; empty at its end."""
    meta = node.replica.raft.snapshot
    if meta.index != index:
        raise Unavailable(f"the snapshot in force is the one at {meta.index}, and not {index}")
    try:
        return (await node.sender.fill(InstallSnapshot(0, meta, offset))).data
    except StorageError as error:
        raise Unavailable(str(error)) from error
