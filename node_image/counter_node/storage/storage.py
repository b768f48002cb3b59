"""One member's durable state: hard state, log and snapshots. The only way from the node to its
disk.

The caller's contract:

1. `write` hands over all that one turn produced; it is durable, and may be acknowledged or spoken
   of to others, once `sync` has returned.
2. After `write` comes `sync` before the next `write` (so that only the last frame can ever be
   torn). A turn that produced nothing writes nothing; the next turn gathers while `sync` runs.
3. `write`, `sync` and `compact` never run at the same time, but any of them may run on a worker
   thread. `save_snapshot` and `load_snapshot` touch neither log nor state and may run beside them,
   on threads of their own.
4. A snapshot is saved first, then written as `snapshot=` of a turn, synced, and only then is the
   log compacted.
5. `DiskFailedError` is final. What was written since the last `sync` is unknown until the directory
   is opened again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ..raft.types import Entry, HardState, Snapshot, SnapshotMeta
from . import snapshots
from .disk import Disk
from .errors import DamagedError, DiskFailedError, DiskFullError, InvariantError, StorageError
from .failpoints import Failpoints
from .faulty_disk import FaultyDisk
from .log_state import LogState
from .places import disk_failed, take_lock
from .records import Turn
from .recovery import Recovered, open_directory
from .segments import Segments
from .spare_room import SpareRoom

SEGMENT_BYTES: Final = 16 << 20
SEGMENT_BYTES_MIN: Final = 4 << 10
_LOCK: Final = "lock"


def random_node_id() -> int:
    """63 random bits, never 0: ids are not coordinated, so they must not collide by design or by a
    poor seed."""
    return secrets.randbelow((1 << 63) - 1) + 1


class Storage:
    """See the module's text for the contract. Made by `open`."""

    def __init__(
        self,
        disk: Disk,
        directory: Path,
        cluster_id: str,
        lock: int,
        segments: Segments,
        state: LogState,
    ) -> None:
        self._disk = disk
        self._directory = directory
        self._snapshots = directory / snapshots.DIRECTORY
        self._cluster_id = cluster_id
        self._lock = lock
        self._segments = segments
        self._state = state
        self._unsynced = False
        self._busy = ""  # the call that is under way, to notice two at once
        self._failure: DiskFailedError | None = None
        self._closed = False
        self._saved: dict[
            str, SnapshotMeta
        ] = {}  # snapshots saved by this process and not yet superseded
        self._saving: str | None = (
            None  # the one that save_snapshot is writing, perhaps on another thread
        )
        self._save_lock = (
            threading.Lock()
        )  # a received snapshot and one of our own may come at once
        self._previous: str | None = None  # file of the snapshot before the one in force
        self._durable_snapshot = state.snapshot
        self._room = SpareRoom(disk, directory)
        self.left_bytes = 0
        """What FLUSHALL would leave for a snapshot, at most: room for it is kept."""

    @classmethod
    def open(
        cls,
        directory: Path,
        cluster_id: str,
        *,
        node_id_source: Callable[[], int] = random_node_id,
        segment_bytes: int = SEGMENT_BYTES,
        failpoints: Failpoints | None = None,
        disk: Disk | None = None,
    ) -> tuple[Storage, Recovered]:
        """Opens a member's directory, or makes it, with a new node id, when it is empty. Blocks.

        `failpoints` defaults to those of the environment. Raises DamagedError, DiskFailedError, or
        StorageError when another process has the directory open."""
        if segment_bytes < SEGMENT_BYTES_MIN:
            raise ValueError(f"segment_bytes is {segment_bytes}; at least {SEGMENT_BYTES_MIN}")
        disk = Disk() if disk is None else disk
        failpoints = Failpoints.from_environment() if failpoints is None else failpoints
        if failpoints is not None:
            disk = FaultyDisk(disk, failpoints)
        lock = None
        try:
            disk.make_dir(directory)
            lock = take_lock(disk, directory / _LOCK)
            segments, state, recovered = open_directory(
                disk, directory, cluster_id, node_id_source, segment_bytes
            )
            storage = cls(disk, directory, cluster_id, lock, segments, state)
            storage._keep_room()
        except BaseException as error:
            if lock is not None:
                disk.close(lock)
            if isinstance(error, OSError):
                raise disk_failed(directory, error) from error
            raise
        return storage, recovered

    @property
    def last_index(self) -> int:
        """Index of the last entry written, or of the snapshot when there is none after it. 0 when
        the log is empty."""
        return self._state.last_index

    @property
    def first_index(self) -> int:
        """Index of the first entry that a reopened storage would return: the one after the snapshot
        in force."""
        return self._state.snapshot.index + 1 if self._state.snapshot else 1

    @property
    def log_bytes(self) -> int:
        """Bytes of log after the snapshot's position, to 64 KiB: what the next snapshot would let
        go."""
        return self._state.log_bytes

    @property
    def has_reserve(self) -> bool:
        """False while the disk has no room for the next segment. The current one can still be
        filled: time to compact, to refuse new commands, and to say so."""
        return self._segments.has_reserve

    @property
    def room_bytes(self) -> int | None:
        """None while the next segment stands ready. Else what can still be written: the rest of the
        current one."""
        return None if self._segments.has_reserve else self._segments.room

    def renew_reserve(self) -> None:
        """Looks whether there is room for the next segment again. Blocks; not beside `write`,
        `sync` and `compact`."""
        self._begin("renew_reserve")
        try:
            self._segments.keep_reserve(now=True)
            self._keep_room()
        except OSError as error:
            raise self._fail(error) from error
        finally:
            self._busy = ""

    @property
    def failure(self) -> DiskFailedError | None:
        return self._failure

    def write(
        self,
        hard_state: HardState | None,
        entries: Sequence[Entry],
        snapshot: SnapshotMeta | None = None,
    ) -> None:
        """Writes one turn as one frame; durable after the next `sync`.

        None leaves the hard state as it is. Entries that begin at or before `last_index` replace
        the log from there on. `snapshot` says that this snapshot, already saved, is in force; when
        the log does not contain its position (beyond the end, or another term), the log starts
        again after it, and `entries` follow it. InvariantError, DiskFullError: nothing was
        written."""
        self._check_usable()
        if self._unsynced:
            raise InvariantError("write before the last write was synced")
        restart = False
        if snapshot is not None:
            self._check_saved(snapshot)
            restart = self._state.restarts_after(snapshot)
        before = self._state.snapshot
        try:
            self._segments.append(Turn(hard_state, entries, snapshot, restart), self._state)
        except OSError as error:
            raise self._fail(error) from error
        self._unsynced = True
        if snapshot is not None and before is not None and before != snapshot:
            self._previous = snapshots.snapshot_name(before)

    def sync(self) -> None:
        """Makes everything written durable. Blocks, without the GIL; goes on to the next segment
        when the current one is nearly full, so that `write` does not have to."""
        self._begin("sync")
        try:
            if self._unsynced:
                self._segments.sync()
            self._synced()
        except OSError as error:
            raise self._fail(error) from error
        finally:
            self._busy = ""

    def begin_sync(self) -> int | None:
        """`sync` in two parts, for a driver that has a better way to wait: the descriptor on which
        it must call fdatasync, and then `end_sync` before anything else. None: there is nothing to
        wait for, or this disk does it itself; `sync` it is."""
        if not self._unsynced or type(self._disk) is not Disk:
            return None
        self._begin("sync")
        return self._segments.descriptor

    def end_sync(self, errno: int) -> None:
        """`errno` of that fdatasync, 0 when it went well."""
        try:
            if errno:
                raise OSError(errno, os.strerror(errno))
            self._synced()
        except OSError as error:
            raise self._fail(error) from error
        finally:
            self._busy = ""

    def _synced(self) -> None:
        """What was written is durable; and what `write` is not to wait for."""
        if self._unsynced:
            self._unsynced = False
            self._durable_snapshot = self._state.snapshot
        segments = self._segments
        if not segments.at_ease:
            segments.keep_reserve()
            if segments.wants_rotation and segments.has_reserve:
                with contextlib.suppress(
                    DiskFullError
                ):  # a header longer than a segment: `write` will need the room, and say so
                    segments.rotate(self._state)
                segments.keep_reserve()
            self._keep_room()

    def save_snapshot(self, snapshot: Snapshot, pieces: Sequence[bytes] = ()) -> None:
        """Stores a snapshot beside the log; its state may be in pieces. It counts only once
        `write(…, snapshot=meta)` is durable. Blocks; may run beside `write` and `sync`.
        DiskFullError: not stored, nothing else happened."""
        self._check_usable(beside=True)
        name = snapshots.snapshot_name(snapshot.meta)
        with self._save_lock:
            self._saving = name
            try:
                try:
                    snapshots.save(self._disk, self._snapshots, self._cluster_id, snapshot, pieces)
                except DiskFullError:
                    if not self._give_room(name):
                        raise
                    snapshots.save(self._disk, self._snapshots, self._cluster_id, snapshot, pieces)
                self._saved[name] = snapshot.meta
            except OSError as error:
                raise self._fail(error) from error
            finally:
                self._saving = None

    def _give_room(self, name: str) -> bool:
        """For the snapshot of that name: what is kept for this, and the snapshot before the one in
        force (who is reading it goes on). Whether there was anything to give."""
        gave = self._room.give()
        previous, self._previous = self._previous, None
        in_force = (
            snapshots.snapshot_name(self._durable_snapshot)
            if self._durable_snapshot is not None
            else ""
        )
        if (
            previous is not None
            and name > in_force > previous
            and previous in self._disk.list_dir(self._snapshots)
        ):
            self._disk.unlink(self._snapshots / previous)
            gave = True
        return gave

    def _keep_room(self) -> None:
        if self._segments.has_reserve:
            self._room.keep(self._segments.segment_bytes, self.left_bytes)

    def load_snapshot(self, meta: SnapshotMeta) -> Snapshot:
        """Reads a saved snapshot back, e.g. to send it to another node. Blocks; may run beside
        everything else. StorageError when a compaction has deleted it meanwhile; DamagedError when
        it cannot be read."""
        self._check_usable(beside=True)
        newest = self._durable_snapshot
        try:
            return snapshots.load(self._disk, self._snapshots, self._cluster_id, meta)
        except DamagedError:
            if (
                newest is not None
                and meta.index < newest.index
                and snapshots.snapshot_name(meta) not in self._saved
            ):
                raise StorageError(
                    f"the snapshot at {meta.index} is no longer kept, {newest.index} is in force"
                ) from None
            raise
        except OSError as error:
            raise StorageError(
                f"{self._snapshots}: cannot read the snapshot at {meta.index}: {error}"
            ) from error

    def open_snapshot(self, meta: SnapshotMeta) -> snapshots.Reader:
        """A saved snapshot, checked once and then read in pieces; `close` it. Blocks; may run
        beside everything else. StorageError when it is not kept any more, DamagedError when it
        cannot be trusted."""
        self._check_usable(beside=True)
        try:
            return snapshots.Reader(self._disk, self._snapshots, meta)
        except OSError as error:
            raise StorageError(
                f"{self._snapshots}: cannot read the snapshot at {meta.index}: {error}"
            ) from error

    def compact(self, first_index: int) -> None:
        """Deletes segments that hold only entries below `first_index` (or replaced ones), and
        snapshots older than the one before the one in force. Blocks. `first_index` must not be
        beyond the durable snapshot."""
        self._begin("compact")
        try:
            covered = self._durable_snapshot.index if self._durable_snapshot else 0
            if self._unsynced or first_index > covered + 1:
                raise InvariantError(
                    f"compact to {first_index}: the durable snapshot covers up to {covered}"
                )
            oldest = self._state.oldest_segment_for(first_index)
            self._segments.delete_before(self._segments.sequence if oldest is None else oldest)
            self._state.forget_segments_before(self._segments.oldest)
            self._delete_old_snapshots(covered)
            self._segments.keep_reserve()
            self._keep_room()
        except OSError as error:
            raise self._fail(error) from error
        finally:
            self._busy = ""

    def close(self) -> None:
        """Gives files and lock back. Does not sync: what was not synced was never promised."""
        if not self._closed:
            self._closed = True
            self._segments.close()
            self._disk.close(self._lock)

    def _delete_old_snapshots(self, covered: int) -> None:
        """Keeps the one in force, the one before it (somebody may still be reading it), and those
        saved but not yet in force."""
        keep = {self._saving, self._previous}
        if self._durable_snapshot is not None:
            keep.add(snapshots.snapshot_name(self._durable_snapshot))
        for name, meta in list(self._saved.items()):
            if meta.index < covered:
                del self._saved[name]
        snapshots.delete_others(
            self._disk, self._snapshots, {name for name in (*keep, *self._saved) if name}
        )

    def _check_saved(self, meta: SnapshotMeta) -> None:
        """A marker for a snapshot that is not on disk would make the directory unreadable."""
        name = snapshots.snapshot_name(meta)
        if name not in self._saved and meta != self._state.snapshot:
            raise InvariantError(f"snapshot {name} is not saved")

    def _check_usable(self, beside: bool = False) -> None:
        """`beside`: the call may run at the same time as others."""
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise InvariantError("the storage is closed")
        if self._busy and not beside:
            raise InvariantError(f"{self._busy} is still under way")

    def _begin(self, call: str) -> None:
        self._check_usable()
        self._busy = call

    def _fail(self, error: OSError) -> DiskFailedError:
        self._failure = self._failure or disk_failed(self._directory, error)
        return self._failure
