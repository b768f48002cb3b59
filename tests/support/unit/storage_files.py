"""Short words for the storage tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from counter_node.raft.types import (
    Entry,
    EntryKind,
    HardState,
    Member,
    Membership,
    Snapshot,
    SnapshotMeta,
)
from counter_node.storage import Recovered, Storage
from counter_node.storage.disk import Disk

from tests.support.sim_disk import SimDisk

DIRECTORY = Path("/data")
WAL = DIRECTORY / "wal"
SNAP = DIRECTORY / "snap"
CLUSTER = "6f0c-test"
NODE = 0x00F1_0000_0000_0001
SEGMENT_BYTES = 4096


def entry(index: int, term: int = 1, data: bytes = b"", kind: EntryKind = EntryKind.DATA) -> Entry:
    return Entry(index, term, kind, data)


def entries(first: int, last: int, term: int = 1, size: int = 10) -> list[Entry]:
    return [entry(index, term, bytes([index % 255 + 1]) * size) for index in range(first, last + 1)]


def snapshot(index: int, term: int = 1, state: bytes = b"state") -> Snapshot:
    member = Member(NODE, "clicks-0", "clicks-0.clicks-peers:7000", "clicks-0:6379", True)
    return Snapshot(SnapshotMeta(index, term, Membership((member,), (7,))), state)


def open_sim(
    disk: Disk, segment_bytes: int = SEGMENT_BYTES, cluster: str = CLUSTER
) -> tuple[Storage, Recovered]:
    return Storage.open(
        DIRECTORY, cluster, node_id_source=lambda: NODE, segment_bytes=segment_bytes, disk=disk
    )


def put(
    storage: Storage,
    new: Sequence[Entry] = (),
    hard_state: HardState | None = None,
    meta: SnapshotMeta | None = None,
) -> None:
    """One durable turn."""
    storage.write(hard_state, new, meta)
    storage.sync()


def take_snapshot(
    storage: Storage,
    value: Snapshot,
    new: Sequence[Entry] = (),
    hard_state: HardState | None = None,
) -> None:
    storage.save_snapshot(value)
    put(storage, new, hard_state, value.meta)


def new_sim(segment_bytes: int = SEGMENT_BYTES) -> tuple[SimDisk, Storage]:
    """A new directory whose hard state is of term 9, so that entries of terms up to 9 may
    follow."""
    disk = SimDisk()
    storage, _ = open_sim(disk, segment_bytes)
    put(storage, hard_state=HardState(9, NODE, 0))
    return disk, storage


def reopen(disk: SimDisk, segment_bytes: int = SEGMENT_BYTES) -> tuple[Storage, Recovered]:
    """After the process died; the page cache is as it was."""
    disk.kill()
    return open_sim(disk, segment_bytes)


def segments(disk: SimDisk) -> list[str]:
    """Files of the log."""
    return [name for name in disk.list_dir(WAL) if name.endswith(".wal")]


def written(disk: SimDisk, path: Path) -> int:
    """Bytes of a file up to the last that is not zero."""
    return len(disk.read(path).rstrip(b"\0"))
