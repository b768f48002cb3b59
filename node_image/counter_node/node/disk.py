"""The disk of a node: one job after the other, what happens when one is durable or fails, and what
a disk without room asks for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from counter_node import memory
from counter_node.logs import log
from counter_node.node.snapshot_taker import SnapshotTaker
from counter_node.node.turn import Turns
from counter_node.node.writing import Writing, Written
from counter_node.raft.fitness import Busy
from counter_node.raft.membership import ChangeRefused
from counter_node.raft.types import NONE
from counter_node.replica.disk_jobs import DiskJob
from counter_node.settings import Settings
from counter_node.storage import DiskFailedError, DiskFullError, StorageError
from counter_node.views.metrics import Metrics

MIND_DISK_MS = 1_000
"""How often a full disk is checked."""
HAND_OVER_AGAIN_S = 10.0
"""Between two attempts of a leader with a full disk."""


class Kept(Written, Protocol):
    """What the disk needs of the node."""

    settings: Settings
    snapshots: SnapshotTaker
    returns: memory.Returns
    metrics: Metrics

    def end_with(self, error: BaseException) -> None: ...


class Disk:
    def __init__(self, node: Kept, loop: asyncio.AbstractEventLoop, turns: Turns) -> None:
        self._node, self._loop, self._turns = node, loop, turns
        self._compact_to: int | None = None
        self._waits_for_room = False  # the job under way
        self._hand_over_not_before = 0.0

    def start_job(self, job: DiskJob) -> None:
        node = self._node
        if node.failed:
            return  # never durable, so nothing that depends on it is ever sent
        compact_to, self._compact_to = self._compact_to, None
        Writing(node, self, job, compact_to).submit()

    def job_done(self, job: DiskJob, no_room: DiskFullError | None) -> None:
        node = self._node
        try:
            self._compact_to = (
                node.replica.persisted(job, no_room=no_room is not None) or self._compact_to
            )
            if released := node.replica.take_released():
                self._turns.send(released)
            if no_room is not None:
                log.error(
                    "a snapshot of the leader's is refused until there is room for it: %s", no_room
                )
            elif job.install is not None:
                node.snapshots.last_was(len(job.install.state))
                node.returns.let_go(len(job.install.state))
                node.metrics.events["counter_snapshots_installed"] += 1
        except Exception as failed:
            node.end_with(failed)
        if node.storage.room_bytes is not None or node.replica.room.full:
            self.mind()
        node.snapshots.if_due()
        if not node.replica.turn_would_do_nothing:
            self._turns.turn_now()

    def job_waits(self, error: DiskFullError | None, submit: Callable[[bool], None]) -> None:
        """A frame for which not even a segment can begin: nothing was written. It is reported, and
        tried again until there is room; meanwhile this node neither votes nor acknowledges, as with
        a disk that takes long."""
        if error is not None:
            if not self._waits_for_room:
                log.error("%s", error)
            self._loop.call_later(MIND_DISK_MS / 1000, submit, True)
        if self._waits_for_room != (error is not None):
            self._waits_for_room = error is not None
            self.mind()

    def job_failed(self, error: BaseException) -> None:
        """What the operating system refused is a failed disk. Everything else is an error of our
        own: it ends the process, which starts again."""
        node = self._node
        if isinstance(error, DiskFailedError | OSError):
            self._failed(error)
        else:
            node.end_with(error)

    def mind(self, *, again: bool = False) -> None:
        """Without room for the next segment: writes are refused, leadership goes to somebody else,
        and the log is made shorter if it can be. `again`: look whether there is room now (under a
        millisecond; not while a job is being written)."""
        node = self._node
        storage, replica = node.storage, node.replica
        if again:
            storage.left_bytes = replica.machine.beside_bytes
        if node.failed or (
            storage.room_bytes is None and not replica.room.full and not self._waits_for_room
        ):
            return
        if replica.writing and not replica.room.full and not self._waits_for_room:
            # the job may just be going on to the next segment: what it leaves is checked when it
            # is done
            return
        if again and not replica.writing:
            try:
                storage.renew_reserve()
            except StorageError as error:
                self.job_failed(error)
                return
        room = 0 if self._waits_for_room else storage.room_bytes
        if (room is None) != (not replica.room.full):
            self._say(full=room is not None)
        kept = node.settings.segment_bytes // 8
        replica.room_left(None if room is None else room - kept, kept // 2)
        if room is None:
            return
        if self._compact_to is not None and not replica.writing:
            self.start_job(replica.jobs.nothing())  # perhaps nobody writes any more
            return
        if again and replica.take_relieved():
            node.snapshots.take_soon(again=True)
        elif storage.log_bytes > node.settings.segment_bytes:
            node.snapshots.take_soon()
        self._hand_over()

    def _say(self, *, full: bool) -> None:
        extra = {"directory": self._node.settings.data_dir}
        if full:
            log.error(
                "the disk is nearly full: writes are refused until there is room on the volume",
                extra=extra,
            )
        else:
            log.warning("there is room on the disk again", extra=extra)

    def _hand_over(self) -> None:
        """To whoever has room. Each change of leader takes of the room that is left, so there is
        none where nobody has."""
        replica, now = self._node.replica, self._loop.time()
        to, leadership = replica.group_room.with_room(), replica.raft.leadership
        if to != NONE and leadership is not None and now >= self._hand_over_not_before:
            self._hand_over_not_before = now + HAND_OVER_AGAIN_S
            with contextlib.suppress(Busy, ChangeRefused):
                leadership.transfer(to)

    def _failed(self, error: BaseException) -> None:
        """Final: nothing is written any more, so nothing is acknowledged; the node steps down, is
        not ready, and says so."""
        node = self._node
        if not node.failed:
            node.failed = f"the disk failed: {error}"
            log.critical("%s", node.failed)
        node.replica.fail_disk()
        self._turns.wake()
