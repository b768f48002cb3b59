"""The disks of simulated nodes. Both keep a model of what is durable; which of them a run uses is
part of its plan.

`ModelDisk` is the model alone: of the job under way at a crash all or nothing survives.
`StorageDisk` runs the production storage on a disk in memory (tests/support/sim_disk.py): a crash
comes before any single operation of a write, a snapshot, a change of segments or a recovery; every
sector, size and name that was not synced is kept or lost on its own; and what is recovered must be
what the model says."""

from __future__ import annotations

import contextlib
import errno
import random
from pathlib import Path

import msgspec
from counter_node.raft.types import Entry, HardState, NodeId, Snapshot, SnapshotMeta
from counter_node.replica.disk_jobs import DiskJob
from counter_node.replica.disk_room import ENTRY_BYTES
from counter_node.storage import DiskFailedError, Storage

from tests.simulation.invariants import Broken
from tests.support.sim_disk import CrashError, SimDisk

SEGMENT_BYTES = 8 << 10
RESERVE_BYTES = 2_000
"""Of a full disk: for terms and votes."""
DIRECTORY = Path("/data")


class DiskError(Exception):
    """A write or sync failed. Whether it reached the disk is not known."""


class ModelDisk:
    def __init__(self, node: NodeId, chance: random.Random) -> None:
        self.node, self.chance = node, chance
        self.hard_state = HardState()
        self.snapshot: Snapshot | None = None
        self.files: dict[SnapshotMeta, Snapshot] = {}
        self.entries: list[Entry] = []
        self.behind: list[Entry] = []  # entries that the snapshot covers, not yet dropped
        self.breaks = False  # the next write fails
        self.room: int | None = None  # bytes that it can still take before it is full; None: plenty
        self.on_its_way = 0  # bytes that were when it became full; they find room in the reserve

    # --- for the node -----------------------------------------------------------------------------

    def open(self) -> None:
        """After a crash: what survived is in `hard_state`, `snapshot` and `entries`."""
        self.breaks = False

    def write(self, job: DiskJob, keep_from: int | None) -> bool:
        """Durable on return. `keep_from`: the log before that index may be dropped. DiskError: all
        or nothing of it may be durable. True: the file of its snapshot was left out, there is no
        room for it."""
        job, no_room = self._as_it_fits(job)
        if self.breaks:
            if self.chance.random() < 0.5:
                self.take(job)
            raise DiskError
        self._drop(keep_from)
        self.take(job)
        return no_room

    def _as_it_fits(self, job: DiskJob) -> tuple[DiskJob, bool]:
        if self.room is None:
            return job, False
        self.room -= sum(len(e.data) + ENTRY_BYTES for e in job.entries)
        if self.room < -RESERVE_BYTES - self.on_its_way:
            raise Broken(
                f"full disk: n{self.node} writes {-self.room} bytes more than there is room for"
            )
        no_room = job.install is not None and not self._takes(job.install)
        return (msgspec.structs.replace(job, install=None) if no_room else job), no_room

    def _takes(self, snapshot: Snapshot) -> bool:
        return self.room is None or len(snapshot.state) <= self.room

    def _drop(self, keep_from: int | None) -> None:
        if keep_from is not None:
            if self.snapshot is None or keep_from > self.snapshot.meta.index + 1:
                raise Broken(
                    f"compaction: n{self.node} drops its log before {keep_from}, and its "
                    f"snapshot does not reach that far"
                )
            self.behind = [e for e in self.behind if e.index >= keep_from]
            newest = self.snapshot.meta.index if self.snapshot is not None else 0
            self.files = {m: s for m, s in self.files.items() if m.index >= newest}

    def save(self, snapshot: Snapshot) -> bool:
        """False: there is no room for it, and nothing happened."""
        if not self._takes(snapshot):
            return False
        self.files[snapshot.meta] = snapshot
        return True

    def crash(self, job: DiskJob | None, snapshot: Snapshot | None) -> None:
        """Everything that is not durable is gone; `job` and `snapshot` are on their way."""
        if job is not None and self.chance.random() < 0.5:
            self.take(job)

    # --- the model --------------------------------------------------------------------------------

    def take(self, job: DiskJob) -> None:
        if job.hard_state is not None:
            self.hard_state = job.hard_state
        if job.install is not None:
            self.files[job.install.meta] = job.install
        if job.marker is not None:
            self._name(job.marker)
        if job.entries:
            first = job.entries[0].index
            base = self.snapshot.meta.index if self.snapshot is not None else 0
            expected = (self.entries[-1].index if self.entries else base) + 1
            assert base < first <= expected, f"a gap on disk: {first} after {expected - 1}"
            del self.entries[first - base - 1 :]
            self.entries.extend(job.entries)

    def _name(self, marker: SnapshotMeta) -> None:
        """The snapshot is in force. A log that does not hold its position starts again after it."""
        base = self.snapshot.meta.index if self.snapshot is not None else 0
        at = marker.index - base
        if at and not (at <= len(self.entries) and self.entries[at - 1].term == marker.term):
            self.entries, self.behind = [], []
        self.snapshot = self.files[marker]
        self.behind += self.entries[:at]
        del self.entries[:at]

    def holds(self, index: int, term: int) -> bool:
        """Whether this entry is durable here, in the log or within the snapshot."""
        base = self.snapshot.meta.index if self.snapshot is not None else 0
        if index <= base:
            return True
        return index <= base + len(self.entries) and self.entries[index - base - 1].term == term


class BreakableDisk(SimDisk):
    """One sync or write fails, and the pages it was for are lost although later reads show them."""

    breaks_in: int | None = None  # operations from now

    def _step(self) -> None:
        super()._step()
        if self.breaks_in is not None:
            self.breaks_in -= 1
            if self.breaks_in < 0:
                raise OSError(errno.EIO, "simulated")


class StorageDisk(ModelDisk):
    def __init__(self, node: NodeId, chance: random.Random) -> None:
        super().__init__(node, chance)
        self._disk = BreakableDisk()
        self._storage: Storage | None = None
        self._pending: DiskJob | None = None  # begun and not known to be durable
        self._used = False

    def open(self) -> None:
        """Raises CrashError: the machine died again while it recovered."""
        super().open()
        if self._used and self.chance.random() < 0.1:
            self._disk.steps_left = self.chance.randrange(20)
        try:
            self._storage, found = Storage.open(
                DIRECTORY,
                "simulated",
                node_id_source=lambda: self.node,
                segment_bytes=SEGMENT_BYTES,
                disk=self._disk,
            )
        except CrashError:
            self._die()
            raise
        self._used = True
        self._disk.steps_left = None
        if found.node_id != self.node:
            raise Broken(f"durability: n{self.node} came back as n{found.node_id}")
        self._compare(found.hard_state, found.snapshot, found.entries)
        self._compare_behind(found.behind)

    def _compare(
        self, hard_state: HardState, snapshot: Snapshot | None, entries: list[Entry]
    ) -> None:
        mine = (self.hard_state, self.snapshot.meta if self.snapshot else None, self.entries)
        theirs = (hard_state, snapshot.meta if snapshot else None, entries)
        if mine == theirs:
            return
        pending, self._pending = self._pending, None
        if pending is not None:
            self.take(pending)
            if (
                self.hard_state,
                self.snapshot.meta if self.snapshot else None,
                self.entries,
            ) == theirs:
                return
        raise Broken(
            f"durability: n{self.node} recovered {hard_state}, {len(entries)} entries up to "
            f"{entries[-1].index if entries else '-'}; "
            f"synced were {mine[0]}, {len(mine[2])} up to "
            f"{mine[2][-1].index if mine[2] else '-'}, pending {pending is not None}"
        )

    def _compare_behind(self, found: list[Entry]) -> None:
        """The storage keeps whole segments, so it may find more than was to be kept; what both have
        is the same, up to the snapshot."""
        covered = self.snapshot.meta.index if self.snapshot is not None else 0
        known = {e.index: e for e in self.behind}
        last = found[-1].index if found else covered
        if (
            last != covered
            or any(known.get(e.index, e) != e for e in found)
            or len(found) < len(known)
        ):
            raise Broken(
                f"durability: n{self.node} recovered other entries behind its snapshot at "
                f"{covered}: {len(found)} up to {last}"
            )
        self.behind = found

    def write(self, job: DiskJob, keep_from: int | None) -> bool:
        job, no_room = self._as_it_fits(job)
        if self.breaks:
            self._disk.breaks_in = self.chance.randrange(4)
        self._drop(keep_from)
        self._pending = job
        try:
            self._do(job, keep_from)
        except DiskFailedError:
            raise DiskError from None
        self._pending = None
        self.take(job)
        return no_room

    def _do(self, job: DiskJob, keep_from: int | None) -> None:
        storage = self._storage
        assert storage is not None
        if keep_from is not None:
            storage.compact(keep_from)
        if job.install is not None:
            storage.save_snapshot(job.install)
            self.files[job.install.meta] = job.install
        if job.writes:
            storage.write(job.hard_state, job.entries, job.marker)
        storage.sync()

    def save(self, snapshot: Snapshot) -> bool:
        assert self._storage is not None
        if not self._takes(snapshot):
            return False
        try:
            self._storage.save_snapshot(snapshot)
        except DiskFailedError:
            raise DiskError from None
        return super().save(snapshot)

    def crash(self, job: DiskJob | None, snapshot: Snapshot | None) -> None:
        if self._storage is not None and self._storage.failure is None:
            if snapshot is not None:
                self._disk.steps_left = self.chance.randrange(8)
                with contextlib.suppress(CrashError, DiskFailedError):
                    self._storage.save_snapshot(snapshot)
                    self.files[snapshot.meta] = snapshot
            if job is not None and self._disk.steps_left is None:
                self._pending = job
                self._disk.steps_left = self.chance.randrange(
                    1 + (4 if self.chance.random() < 0.8 else 30)
                )
                with contextlib.suppress(CrashError, DiskFailedError):
                    self._do(job, None)
        self._die()

    def _die(self) -> None:
        """The process, or the machine with what its cache held."""
        self._storage = None
        self._disk.breaks_in = None
        if self.chance.random() < 0.6:
            self._disk.crash(self.chance if self.chance.random() < 0.9 else None)
        else:
            self._disk.kill()
