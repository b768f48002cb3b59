"""The state of one moment, from a snapshot and the log behind it; and a data directory with it.

1. It is always the state after one entry, and every entry before it: never a mixture.
2. What cannot be read never becomes an empty cluster. Either the moment that was asked for is
   reached, or the restore ends with the moment that can be (`as_far` takes that one).
3. The new cluster has a history of its own, with the old one as its parent, a member with a new id,
   and a term beyond the old ones. The old members' ids are removed: none of them can come in.
4. The directory is made beside, and put in its place at the end, node.json last of all: a node
   refuses to start from what is not finished.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from counter_node.archive.ahead import reading_ahead
from counter_node.archive.reader import Reader
from counter_node.archive.rules import restoring
from counter_node.archive.rules.contents import Contents
from counter_node.archive.rules.errors import (
    ArchiveError,
    DamagedObjectError,
    UnreachableMomentError,
)
from counter_node.archive.rules.names import SnapshotName
from counter_node.archive.rules.objects import LogPiece, Manifest, stamp_of
from counter_node.archive.rules.restoring import AtIndex, AtTime, Line, Moment, Newest
from counter_node.archive.stores import AbsentError
from counter_node.counters.errors import SnapshotFormatError, UnknownOperationError
from counter_node.counters.history import History
from counter_node.counters.machine import Machine
from counter_node.raft.types import (
    NONE,
    Entry,
    EntryKind,
    HardState,
    Member,
    Membership,
    MembershipChange,
    NodeId,
    Removal,
    Snapshot,
    SnapshotMeta,
)
from counter_node.resp.called import operation
from counter_node.storage import Storage
from counter_node.storage.disk import Disk
from counter_node.storage.recovery import IDENTITY

RESTORED: Final = "restore"
_STAGING: Final = "restoring"
_PARTS: Final = ("wal", "snap", IDENTITY)


class Restored(msgspec.Struct):
    """`stopped`: why it goes no further, where that is not the moment that was asked for."""

    history: str
    cluster_id: str
    base: int
    machine: Machine
    index: int
    term: int
    members: set[NodeId]
    entries: int = 0
    stopped: str = ""
    warnings: list[str] = []

    @property
    def utc_ms(self) -> int:
        return self.machine.time_ms + self.machine.offset_ms


def restore(
    reader: Reader, contents: Contents, moment: Moment, *, as_far: bool = False
) -> Restored:
    """Raises UnreachableMomentError, StoreError, or another ArchiveError."""
    snapshots = reader.snapshots(contents)
    warnings = list(snapshots.damaged)
    for name, manifest in restoring.bases(snapshots.whole.items(), moment):
        try:
            found = begin(reader, contents.history, name, manifest)
        except (DamagedObjectError, AbsentError) as error:
            warnings.append(str(error))
            continue
        found.warnings = warnings
        with reading_ahead(reader, contents) as ahead:
            found.stopped = _replay(ahead, contents, found, moment)
        if found.stopped and not as_far:
            raise UnreachableMomentError(
                f"{moment} cannot be reached: {found.stopped}. The archive leads to index "
                f"{found.index}, {found.utc_ms} ms after 1970 (UTC)"
            )
        return found
    because = "; ".join(warnings) or "no snapshot is that old"
    raise UnreachableMomentError(
        f"{moment} cannot be reached in history {contents.history}: {because}"
    )


def begin(reader: Reader, history: str, name: SnapshotName, manifest: Manifest) -> Restored:
    state = reader.state(history, name, manifest)
    try:
        machine = Machine.restore(state)
    except SnapshotFormatError as error:
        raise ArchiveError(str(error)) from error
    machine.operation = operation
    membership = manifest.membership
    members = {*membership.removed, *(member.id for member in membership.members)}
    return Restored(
        history, manifest.cluster_id, name.index, machine, name.index, name.term, members
    )


class Following(msgspec.Struct):
    """`gap`: its last index, where that is why there are no entries. `why`: what is in the way,
    empty at the end of the line."""

    entries: list[Entry]
    gap: int = 0
    why: str = ""


def next_entries(reader: Reader, contents: Contents, line: Line) -> Following:
    """Those behind the position of `line`, which moves on."""
    found = Following([])
    for place, first in enumerate(restoring.objects_for(contents.logs, line.index + 1)):
        try:
            piece = _piece(reader, contents, first)
            found.entries = line.take(piece)
        except (DamagedObjectError, AbsentError) as error:
            if place == 0:  # of one before it, nobody knows that it would help
                found.why = str(error)
            continue
        if found.entries:
            return Following(found.entries)
        if piece.facts.gap and piece.facts.first <= line.index + 1 <= piece.facts.last:
            found.gap = piece.facts.last
    if not found.why and found.gap:
        found.why = f"entries {line.index + 1} to {found.gap} are not in the archive (a gap)"
    elif not found.why and contents.logs and contents.logs[-1] > line.index:
        found.why = f"entry {line.index + 1} is not in the archive"
    return found


def _piece(reader: Reader, contents: Contents, first: int) -> LogPiece:
    try:
        return reader.log(contents.history, first)
    except DamagedObjectError:
        if first not in contents.passed:
            raise
        return reader.passed(contents.history, first)


def _replay(reader: Reader, contents: Contents, found: Restored, moment: Moment) -> str:
    """Applies the log. Empty: the moment was reached."""
    if isinstance(moment, AtIndex) and moment.index == found.index:
        return ""
    line = Line(contents.history, found.index, found.term)
    while True:
        following = next_entries(reader, contents, line)
        if not following.entries:
            if following.why:
                return following.why
            return "" if isinstance(moment, Newest) else "the archive ends before it"
        for entry in following.entries:
            if _is_beyond(entry, found.machine, moment):
                return ""
            apply_entry(found, entry)
            if isinstance(moment, AtIndex) and entry.index == moment.index:
                return ""


def _is_beyond(entry: Entry, machine: Machine, moment: Moment) -> bool:
    if not isinstance(moment, AtTime):
        return False
    stamp = stamp_of(entry)
    return bool(stamp) and stamp + machine.offset_ms > moment.utc_ms


def apply_entry(found: Restored, entry: Entry) -> None:
    if entry.kind is EntryKind.DATA:
        try:
            found.machine.apply(entry.index, entry.data, lambda session, number: None)
        except UnknownOperationError as error:
            raise ArchiveError(str(error)) from error
    elif entry.kind is EntryKind.CONFIG:
        found.members.add(msgspec.msgpack.decode(entry.data, type=MembershipChange).id)
    found.index, found.term, found.entries = entry.index, entry.term, found.entries + 1


# --- the data directory ---------------------------------------------------------------------------


class NewMember(msgspec.Struct, frozen=True):
    """The only member of the new cluster; the addresses as in the node's settings."""

    name: str
    peer: str
    resp: str


def write_directory(
    found: Restored, directory: Path, cluster_id: str, member: NewMember, history: str
) -> NodeId:
    """Makes the data directory of a node that goes on from here, and gives its id. `history`: the
    id of the new one. Raises ArchiveError where there are data already; what an earlier attempt
    left is made again."""
    disk = Disk()
    staging = directory / _STAGING
    with _errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        present = [name for name in _PARTS if (directory / name).exists()]
        if IDENTITY in present or (present and not staging.exists()):
            raise ArchiveError(
                f"{directory}: there are data of a node already ({present[0]}). A restore makes a "
                f"new cluster; give it an empty directory"
            )
        for name in present:
            shutil.rmtree(directory / name)
        shutil.rmtree(staging, ignore_errors=True)
        storage, recovered = Storage.open(staging, cluster_id)
        try:
            _found_cluster(found, storage, recovered.node_id, member, history)
        finally:
            storage.close()
        for name in _PARTS:
            disk.rename(staging / name, directory / name)
            disk.sync_dir(directory)
        shutil.rmtree(staging)
        disk.sync_dir(directory)
    return recovered.node_id


def _found_cluster(
    found: Restored, storage: Storage, node_id: NodeId, member: NewMember, history: str
) -> None:
    term, index = found.term + 1, found.index + 1
    gone = sorted(found.members)
    membership = Membership(
        (Member(node_id, member.name, member.peer, member.resp, True),),
        tuple(gone),
        tuple(Removal(old, term, index) for old in gone),
    )
    found.machine.begin_history(History(history, index, RESTORED))
    meta = SnapshotMeta(index, term, membership)
    storage.save_snapshot(Snapshot(meta, b""), found.machine.dump().pieces())
    storage.write(HardState(term, NONE, index), [], meta)
    storage.sync()


@contextlib.contextmanager
def _errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArchiveError(f"{directory}: {error}") from error
