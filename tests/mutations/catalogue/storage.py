"""Breakages of log and snapshots on disk."""

from __future__ import annotations

from typing import Any

from counter_node.storage import frames, recovery, segments, snapshots
from counter_node.storage.disk import Disk
from counter_node.storage.segments import Segments
from counter_node.storage.spare_room import SpareRoom
from counter_node.storage.storage import Storage

from tests.mutations.breakage import Patch, mutation


@mutation("the log is not synced", "storage", quick=True)
def fsync_skipped(patch: Patch) -> None:
    patch(Segments, "sync", lambda self: None)


class _NoSync(Disk):
    """A disk on which files are not synced."""

    def __init__(self, inner: Disk) -> None:
        self._inner = inner

    def __getattribute__(self, name: str) -> Any:
        if name in ("sync", "_inner"):
            return object.__getattribute__(self, name)
        return getattr(object.__getattribute__(self, "_inner"), name)

    def sync(self, fd: int) -> None:
        pass


@mutation(
    "a snapshot's file is not synced before it gets its name", "storage", tests=(), quick=True
)
def snapshot_file_not_synced(patch: Patch) -> None:
    original = snapshots.save
    patch(snapshots, "save", lambda disk, *rest: original(_NoSync(disk), *rest))


@mutation(
    "the log is cut before the snapshot that covers it is named in it",
    tests=("tests/unit/storage",),
)
def compaction_before_the_snapshot(patch: Patch) -> None:
    original = Storage.save_snapshot

    def save(self: Storage, snapshot: Any, pieces: Any = ()) -> None:
        original(self, snapshot, pieces)
        self._segments.delete_before(self._segments.sequence)

    patch(Storage, "save_snapshot", save)


@mutation("the chain from frame to frame is not checked", tests=("tests/unit/storage",))
def chain_crc_not_checked(patch: Patch) -> None:
    original = frames._frame_at

    def frame_at(data: bytes, offset: int, previous_crc: int | None) -> Any:
        return original(data, offset, None)

    patch(frames, "_frame_at", frame_at)


@mutation("a torn tail is accepted in any segment", tests=("tests/unit/storage",))
def torn_tail_in_a_middle_segment(patch: Patch) -> None:
    original = recovery._replay

    def replay(disk: Any, wal: Any, number: int, newest: bool, *rest: Any) -> Any:
        return original(disk, wal, number, True, *rest)

    patch(recovery, "_replay", replay)
    patch(recovery, "_check_follows", lambda *_: None)


@mutation(
    "room is not kept for what FLUSHALL leaves", tests=("tests/unit/storage/test_spare_room.py",)
)
def no_room_for_what_is_left(patch: Patch) -> None:
    original = SpareRoom.keep
    patch(
        SpareRoom, "keep", lambda self, segment_bytes, left_bytes: original(self, segment_bytes, 0)
    )


@mutation("damage in the last segment passes for a torn tail", tests=("tests/unit/storage",))
def damage_passes_for_a_torn_tail(patch: Patch) -> None:
    original = frames._judge

    def judge(data: bytes, offset: int, previous_crc: int, found: str) -> Any:
        ending, at, detail = original(data, offset, previous_crc, found)
        return (frames.Ending.TORN if ending is frames.Ending.DAMAGED else ending), at, detail

    patch(frames, "_judge", judge)


@mutation(
    "the segment in use is filled with zeros, and not the next one",
    "storage",
    tests=("tests/unit/storage",),
    quick=True,
)
def zeros_in_the_wrong_segment(patch: Patch) -> None:
    patch(Segments, "_fill_slice", lambda self: segments.fill(self._disk, self._fd, 4 << 10, 0))


@mutation("writing goes on after a failed sync", tests=("tests/unit/storage",))
def failed_sync_is_forgotten(patch: Patch) -> None:
    original = Storage._fail

    def fail(self: Storage, error: OSError) -> Any:
        found = original(self, error)
        self._failure = None
        return found

    patch(Storage, "_fail", fail)
