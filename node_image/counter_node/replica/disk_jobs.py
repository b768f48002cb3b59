"""What is to be written, one job after the other. Pure.

At most one job is under way. When it is durable the driver calls `persisted`; all that came in
meanwhile is in the next job: that is the group commit. Messages that depend on a job leave only
when it is durable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from counter_node.raft.core import Persist, Raft
from counter_node.raft.messages import Message
from counter_node.raft.types import Entry, HardState, NodeId, Snapshot, SnapshotMeta

SAVE_AGAIN_TICKS: Final = 50
"""After a received snapshot found no room on the disk."""


class DiskJob(msgspec.Struct, frozen=True):
    """One unit for the disk, in this order: the snapshot file if any, then hard state, entries and
    snapshot marker in one write, then one sync. A file that finds no room is left out, and
    `persisted` says so."""

    hard_state: HardState | None
    entries: list[Entry]
    install: Snapshot | None
    """Received from the leader. Only when its file is saved is it used for anything."""
    marker: SnapshotMeta | None
    """A snapshot whose file is saved already: from here on it is in force."""
    after: list[tuple[NodeId, Message]]

    @property
    def writes(self) -> bool:
        return self.hard_state is not None or bool(self.entries) or self.marker is not None


class DiskJobs:
    def __init__(self, raft: Raft, send: Callable[[NodeId, Message], None]) -> None:
        self.under_way: DiskJob | None = None
        self.marker: SnapshotMeta | None = None
        """A snapshot whose file is saved; the log names it in the next job."""
        self._raft, self._send = raft, send
        self._ticks = 0  # of the job under way
        self._tick = 0
        self._no_room = False  # for the received snapshot that was tried last
        self._save_at = 0  # tick before which it is not tried again

    def tick(self) -> None:
        self._tick += 1
        if self.under_way is not None:
            self._ticks += 1

    @property
    def late(self) -> bool:
        """The job under way has taken an election timeout."""
        return self.under_way is not None and self._ticks >= self._raft.config.election_ticks

    @property
    def snapshot_waits(self) -> bool:
        """A received snapshot found no room on the disk; it is tried again."""
        return self._no_room and self._raft.arrived is not None

    def unwritten(self) -> list[Entry]:
        """Entries that are on their way to the disk, or are going to be."""
        log = self._raft.log
        return log.entries[log.unstable - log.offset - 1 :] + (
            self.under_way.entries if self.under_way is not None else []
        )

    def next(self) -> DiskJob | None:
        """Only when none is under way."""
        while True:
            install = self._raft.arrived if self._tick >= self._save_at else None
            persist = self._raft.take_persist()
            no_file = self.marker is None and install is None
            if persist is None and no_file:
                return None
            if persist is not None and persist.hard_state is None and no_file:
                self._release(persist.after)  # all that these depend on is durable already
                continue
            self.under_way = self._join(persist, install)
            self._ticks = 0
            return self.under_way

    def nothing(self) -> DiskJob:
        """A job that writes nothing, with which the driver can let old segments go. Only when none
        is under way."""
        assert self.under_way is None, "one disk job at a time"
        self.under_way, self._ticks = DiskJob(None, [], None, None, []), 0
        return self.under_way

    def _join(self, persist: Persist | None, install: Snapshot | None) -> DiskJob:
        marker, self.marker = self.marker, None
        if persist is None:
            return DiskJob(None, [], install, marker, [])
        if persist.snapshot is not None:
            marker = persist.snapshot  # adopted, so newer than any of our own
        elif marker is not None and persist.entries and persist.entries[0].index <= marker.index:
            # Others committed what is not durable here yet: first the entries, in the next job the
            # marker.
            self.marker, marker = marker, None
        return DiskJob(persist.hard_state, persist.entries, install, marker, persist.after)

    def persisted(self, job: DiskJob, *, no_room: bool, full: bool) -> int | None:
        """`job` is durable, but for the file of its snapshot when there was no room for it. Returns
        the first index that the log on disk must keep, when older ones may go: never one beyond the
        snapshot that is in force there. `full`: the disk is, so a snapshot lets all go that it
        covers."""
        assert job is self.under_way, "one disk job at a time"
        self.under_way = None
        self._release(job.after)
        raft, keep_from = self._raft, None
        if job.marker is not None and job.marker.index >= raft.log.offset:
            raft.snapshot_taken(job.marker, all_goes=full)
            keep_from = min(raft.log.offset, job.marker.index) + 1
        if job.install is not None:
            self._no_room = no_room
            if no_room:
                self._save_at = self._tick + SAVE_AGAIN_TICKS
            else:
                raft.adopt(job.install)
        return keep_from

    def _release(self, after: list[tuple[NodeId, Message]]) -> None:
        for to, message in after:
            if to == self._raft.id:
                self._raft.step(to, message)
            else:
                self._send(to, message)

    def snapshot_saved(self, meta: SnapshotMeta) -> None:
        """The file is durable; the log names it in the next job, and from then on it counts."""
        if meta.index > self._raft.snapshot.index:
            self.marker = meta
