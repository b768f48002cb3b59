"""When a node takes a snapshot of its own, and how: built in pieces between turns, written on a
thread."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from counter_node import memory
from counter_node.admin.commands import NoSnapshotError
from counter_node.logs import log
from counter_node.raft.types import Snapshot
from counter_node.replica.replica import Replica
from counter_node.settings import Settings
from counter_node.storage import DiskFullError, Storage

LEAST_LOG_BYTES = 8 << 20
LOG_PER_SNAPSHOT = 4
CATCHING_UP = 100
"""Entries that are committed and not applied, as after a start with a long log."""
TOO_LARGE_PAUSE_S = 30.0
"""After a snapshot was not begun as the process would not survive it."""
BLOCKS_FREED = 8
TAKE_S = 10.0
"""How long who asks for a snapshot waits for it."""
DISK_FULL_PAUSE_S = 30.0
"""After a snapshot found no room, unless the state is smaller by a part in so many:"""
SMALLER = 4


class SnapshotMetrics(Protocol):
    def snapshot_taken(self, size_bytes: int, seconds: float) -> None: ...


class Taken(Protocol):
    """The node that a snapshot is taken of."""

    settings: Settings
    memory_bytes: int
    failed: str
    replica: Replica

    @property
    def metrics(self) -> SnapshotMetrics: ...

    def spawn(self, work: Any) -> None: ...

    def wake(self) -> None: ...

    def job_failed(self, error: BaseException) -> None: ...


class SnapshotTaker:
    """`log_limit`: bytes of log after which a snapshot is due."""

    def __init__(self, node: Taken, storage: Storage, last_bytes: int) -> None:
        """`last_bytes`: the size of the newest snapshot, 0 when there is none."""
        self._node, self._storage = node, storage
        self._clock = asyncio.get_running_loop().time
        self._not_before = 0.0
        self._no_room_for = 0  # bytes of the last that found none; 0: it was another reason to wait
        self.refused = ""  # why the last one was not taken
        self.busy = False
        self.no_memory = ""  # why no snapshot is begun, in words
        self.last_was(last_bytes)

    def last_was(self, size_bytes: int) -> None:
        """The log may become a few times as long as a snapshot. So a small state is soon read back
        after a restart, and a large one is not written all the time."""
        most = min(self._node.settings.snapshot_bytes, memory.log_bytes(self._node.memory_bytes))
        self.log_limit = min(most, max(LEAST_LOG_BYTES, LOG_PER_SNAPSHOT * size_bytes))

    def if_due(self) -> None:
        if self._storage.log_bytes > self.log_limit:
            self.take_soon()

    def take_soon(self, *, again: bool = False) -> None:
        """Unless there is nothing new, or one is being taken, or it would be wrong now. `again`:
        also soon after one that found no room."""
        node = self._node
        if again:
            self._not_before = 0.0
        waits = self._clock() < self._not_before and not self._smaller()
        if self.busy or node.failed or waits:
            return
        if (
            node.replica.behind > CATCHING_UP
            # one of the middle of it costs time now, and helps little later; every disk job asks
            # again
        ):
            return
        if (
            node.replica.applying.whole
            and self._survives()
            and node.replica.applied > node.replica.raft.snapshot.index
        ):
            self.busy = True
            node.spawn(self._take())

    def _smaller(self) -> bool:
        """Counters have expired since there was no room, say."""
        size, then = self._node.replica.machine.snapshot_bytes(), self._no_room_for
        return size <= then - then // SMALLER

    def _survives(self) -> bool:
        """A snapshot is made beside the state. One that would end the process is not begun: it
        would be begun again after each start."""
        node, machine = self._node, self._node.replica.machine
        encoded, resident = machine.snapshot_bytes(), memory.resident_bytes()
        if memory.survives(node.memory_bytes, encoded, resident):
            self.no_memory = ""
            return True
        self._not_before, self._no_room_for = self._clock() + TOO_LARGE_PAUSE_S, 0
        self.no_memory = (
            f"no snapshot is taken: it would need {encoded} bytes beside the {resident} that the"
            f" process holds, and the memory limit is {node.memory_bytes}. Raise the limit"
        )
        log.error("%s", self.no_memory)
        return False

    async def take(self) -> int:
        """One of all that is applied now: the index of the snapshot in force that covers it. Raises
        NoSnapshotError with the reason, TimeoutError."""
        node = self._node
        wanted = node.replica.applied
        self.refused = ""
        self.take_soon(again=True)
        async with asyncio.timeout(TAKE_S):
            while node.replica.raft.snapshot.index < wanted:
                if self.refused or self.no_memory or node.failed:
                    raise NoSnapshotError(self.refused or self.no_memory or node.failed)
                self.take_soon()
                await asyncio.sleep(0.02)
        return node.replica.raft.snapshot.index

    async def _take(self) -> None:
        node = self._node
        try:
            start = time.monotonic()
            while not node.replica.applying.whole:  # a turn may have come before this task
                await asyncio.sleep(0)
            meta, dump = node.replica.begin_snapshot()
            try:
                while not dump.step():
                    await asyncio.sleep(0)
            finally:
                dump.close()
            pieces = dump.pieces()
            size = sum(map(len, pieces))
            await asyncio.to_thread(self._storage.save_snapshot, Snapshot(meta, b""), pieces)
            node.replica.snapshot_saved(meta)
            took = round(time.monotonic() - start, 3)
            self.last_was(size)
            node.metrics.snapshot_taken(size, took)
            log.info("snapshot taken", extra={"index": meta.index, "bytes": size, "seconds": took})
            node.wake()
            while pieces:  # a few at a time: the system takes some of its time for each
                del pieces[-BLOCKS_FREED:]
                await asyncio.sleep(0)
        except DiskFullError as error:
            self._not_before = self._clock() + DISK_FULL_PAUSE_S
            self._no_room_for = node.replica.machine.snapshot_bytes()
            self.refused = str(error)
            log.error("no snapshot: %s", error)
        except Exception as error:
            node.job_failed(error)
        finally:
            self.busy = False
