"""What an uploader needs of a member; and the same from a member's data directory.

`DataDirectory` reads and takes no lock. It takes for committed what the log says is, which may be
a little less than what the member knew: a member writes that down with its next entries. Where the
member is the only voter, all that is in its log is committed.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from counter_node.archive.rules.errors import ArchiveError
from counter_node.archive.rules.objects import LineageRecord
from counter_node.archive.rules.state import facts_of
from counter_node.archive.rules.uploading import Have
from counter_node.raft.membership import changed
from counter_node.raft.types import (
    Entry,
    EntryKind,
    Membership,
    MembershipChange,
    NodeId,
    Snapshot,
    SnapshotMeta,
)
from counter_node.storage.disk import Disk
from counter_node.storage.errors import StorageError
from counter_node.storage.recovery import IDENTITY, read_directory


class SnapshotSource(Protocol):
    """A member's snapshot, open; it stays readable whatever the member does meanwhile."""

    meta: SnapshotMeta
    size: int
    log_ms: int
    utc_ms: int

    def piece(self, offset: int, size: int) -> bytes: ...

    def close(self) -> None: ...


class Source(Protocol):
    """A member. `history` does not change while a source lives."""

    history: str

    def lineage(self) -> LineageRecord: ...

    def have(self) -> Have: ...

    def entries(self, first: int, last: int) -> Sequence[Entry]:
        """Those from `first` on, up to `last` or fewer; at least one of them where `have` says that
        they are there."""

    def open_snapshot(self) -> SnapshotSource:
        """The newest one."""


class _Identity(msgspec.Struct):
    clusterId: str
    nodeId: str


class DataDirectory:
    """What stands in a member's data directory now. Raises ArchiveError."""

    def __init__(self, directory: Path) -> None:
        try:
            identity = msgspec.json.decode((directory / IDENTITY).read_bytes(), type=_Identity)
            found = read_directory(Disk(), directory, identity.clusterId, int(identity.nodeId, 16))
        except (OSError, ValueError, StorageError) as error:
            raise ArchiveError(f"{directory}: {error}") from error
        if found.snapshot is None:
            raise ArchiveError(f"{directory}: this member was never part of a cluster")
        self._cluster_id = identity.clusterId
        self._snapshot = found.snapshot
        self._entries = [*found.behind, *found.entries]
        index = found.snapshot.meta.index
        known = max(index, min(found.state.hard_state.commit, found.state.last_index))
        self._committed = _committed(
            int(identity.nodeId, 16), found.snapshot.meta.membership, found.entries, known
        )
        facts = facts_of(found.snapshot.state)
        self._lineage = facts.lineage
        if not self._lineage:
            raise ArchiveError(
                f"{directory}: the cluster is below level 4 and has no history id. Upgrade all of "
                f"its members"
            )
        self._log_ms, self._utc_ms = facts.log_ms, facts.utc_ms
        self.history = self._lineage[-1].id

    def lineage(self) -> LineageRecord:
        return LineageRecord(self._cluster_id, self._lineage)

    def have(self) -> Have:
        index = self._snapshot.meta.index
        first = self._entries[0].index if self._entries else index + 1
        return Have(self._committed, first, index)

    def entries(self, first: int, last: int) -> Sequence[Entry]:
        at = bisect.bisect_left(self._entries, first, key=lambda entry: entry.index)
        return self._entries[at : at + last - first + 1]

    def open_snapshot(self) -> SnapshotSource:
        return MemorySnapshot(self._snapshot, self._log_ms, self._utc_ms)


def _committed(
    node_id: NodeId, membership: Membership, entries: Sequence[Entry], known: int
) -> int:
    """`entries` come after the snapshot of `membership`; up to `known` they are committed.
    What lies behind a change of members that is not known to be committed is left out."""
    last = known
    for entry in entries:
        if entry.kind is EntryKind.CONFIG:
            if entry.index > known:
                break
            change = msgspec.msgpack.decode(entry.data, type=MembershipChange)
            membership = changed(membership, change, entry.term, entry.index)
        last = max(last, entry.index)
    return last if membership.voters() == {node_id} else known


class MemorySnapshot:
    def __init__(self, snapshot: Snapshot, log_ms: int, utc_ms: int) -> None:
        self.meta = snapshot.meta
        self.size = len(snapshot.state)
        self.log_ms, self.utc_ms = log_ms, utc_ms
        self._state = snapshot.state

    def piece(self, offset: int, size: int) -> bytes:
        return self._state[offset : offset + size]

    def close(self) -> None:
        pass
