"""Wires the rooms together: sockets and timers on one side, the pure replica in the middle, disk
and cache on the other.

What goes on is in the parts: turn.py, clock.py, disk.py, peering.py, life.py, beginning.py. Each
declares what it needs of the node, and nothing more."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from counter_node import memory
from counter_node.admin.commands import Admin
from counter_node.cache.publisher import Publisher
from counter_node.counters.history import ids
from counter_node.counters.machine import SnapshotFormatError, UnknownOperationError
from counter_node.logs import log
from counter_node.net.clients import ClientServer
from counter_node.net.descriptors import Shares, shares
from counter_node.net.peers import Peers
from counter_node.node.beginning import Beginning
from counter_node.node.clock import Clock
from counter_node.node.disk import Disk
from counter_node.node.disk_worker import DiskWorker
from counter_node.node.life import Life
from counter_node.node.making import make_replica
from counter_node.node.own_reads import Questions
from counter_node.node.peering import Peering
from counter_node.node.snapshot_sender import SnapshotSender
from counter_node.node.snapshot_taker import SnapshotTaker
from counter_node.node.turn import Turns
from counter_node.raft.types import Entry, EntryKind, NodeId
from counter_node.resp.commands import CATALOGUE
from counter_node.security.refusals import Refusals
from counter_node.security.tls import Tls
from counter_node.settings import Settings
from counter_node.storage import Failpoints, Recovered, Storage
from counter_node.users.access import Access
from counter_node.views.metrics import Metrics
from counter_node.views.status import role_of, unready_reason

TOO_OLD = (SnapshotFormatError, UnknownOperationError)
"""Errors by which a node says that its version is too old for its data."""


class EndedByErrorError(Exception):
    """Something that must not happen ended a node that was running, whatever it was: not to be
    taken for what keeps one from starting."""


class Node:
    id: NodeId

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.memory_bytes = settings.memory_bytes or memory.limit_bytes()
        self.failed = ""  # why the disk is not used any more
        self.stopping = False
        self.started = False
        self.born = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self.fatal: asyncio.Future[None] = (
            self._loop.create_future()
        )  # gets the error that ends the node
        self.tasks: set[asyncio.Task[Any]] = set()
        self.refusals = Refusals()
        self.tls = _tls(settings)
        users = Path(settings.acl_file) if settings.acl_file else None
        self.access = Access(users, CATALOGUE, self.refusals, Path(settings.data_dir))
        self.metrics = Metrics(self)
        self.returns = memory.Returns(time.monotonic)
        self.questions = Questions(self._ask)
        self.turns = Turns(self, self._loop)
        self.wake, self.turn_now = self.turns.wake, self.turns.turn_now
        self.shares = _shares(settings)
        self.clients = ClientServer(self, self.shares.clients)
        self.turns.deliver = self.clients.deliver
        if (failpoints := Failpoints.from_environment()) is not None:
            self.turns.deliver = failpoints.before("node.reply", self.turns.deliver)
        self.admin = Admin(self)
        self.cache = self._publisher()
        self._open()

    def _publisher(self) -> Publisher | None:
        s = self.settings
        if not s.cache:
            return None
        return Publisher(s.cache, self, self.metrics.cache_delay_seconds.observe, s.cache_options)

    def _open(self) -> None:
        """The disk, and what depends on what is found there."""
        s, loop = self.settings, self._loop
        self.storage, recovered = Storage.open(
            Path(s.data_dir), s.cluster_id, segment_bytes=s.segment_bytes
        )
        if recovered.repaired:
            log.warning("the log's torn tail was repaired: %s", recovered.repaired)
        self.access.file.keep()
        self.id = recovered.node_id
        self.disk = Disk(self, loop, self.turns)
        self.turns.start_job, self.job_failed = self.disk.start_job, self.disk.job_failed
        self.peering = Peering(self)
        self.clock = Clock(self, loop, self.disk, self.peering)
        self._begin_with(recovered)
        self.peers = Peers(self.peering, self.peering.hello, self.tls)
        self.sender = SnapshotSender(self.storage)
        snapshot = recovered.snapshot
        size = len(snapshot.state) if snapshot is not None else 0
        self.snapshots = SnapshotTaker(self, self.storage, size)
        self.worker = DiskWorker(loop, self.storage, self.metrics.disk_jobs.add)
        self.disk.mind()
        life = Life(self, loop, self.clock)
        self.start, self.run_until, self.stop = life.start, life.run_until, life.stop
        beginning = Beginning(self, loop, self.peering)
        self.bootstrap, self.recover = beginning.bootstrap, beginning.recover

    def _begin_with(self, recovered: Recovered) -> None:
        self.replica = make_replica(
            self.settings,
            self.id,
            self.max_bytes(),
            self.access.user_limits,
            recovered.hard_state,
            recovered.snapshot,
            recovered.behind + recovered.entries,
            self.clock.note(recovered),
            second=True,
        )
        self.replica.applying.on_applied = self.on_applied

    def max_bytes(self) -> int:
        """What the state may take."""
        clients = memory.client_bytes(self.settings.client_bytes, self.memory_bytes)
        return self.settings.max_bytes or memory.state_bytes(self.memory_bytes, clients)

    def spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task failed", exc_info=task.exception())

    def end_with(self, error: BaseException) -> None:
        """An error in the middle of a turn leaves a node that looks alive and is not (a disk job
        that is never written, say). It ends the node: started again from its disk, it is whole
        again."""
        log.critical("the node ends: a turn failed", exc_info=error)
        if not self.fatal.done():
            self.fatal.set_exception(
                error if isinstance(error, TOO_OLD) else EndedByErrorError(error)
            )

    def on_applied(self, entry: Entry) -> None:
        if self.admin.waiting:
            self.admin.applied(entry)
        if entry.kind is EntryKind.CONFIG:
            self.peering.sync_links()

    # --- cache (see cache/publisher.py: Source) ---------------------------------------------------

    def position(self) -> tuple[int, int] | None:
        replica = self.replica
        return (
            (replica.raft.term, replica.applied)
            if replica.is_leader and replica.applying.term == replica.raft.term
            else None
        )

    def histories(self) -> tuple[str, ...]:
        return ids(self.replica.machine.lineage)

    def values(self) -> Mapping[bytes, int]:
        return self.replica.machine.values

    def deadlines(self) -> Mapping[bytes, int]:
        return self.replica.machine.deadlines

    def page(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        return self.replica.machine.page(cursor, count)

    def _ask(self, token: object, ops: list[Any]) -> None:
        self.replica.submit_read(token, ops)
        self.wake()

    def offset_ms(self) -> int:
        return self.replica.machine.offset_ms

    async def confirm(self) -> bool:
        return await self.questions.confirm()

    # --- for status and administration ------------------------------------------------------------

    @property
    def log_bytes(self) -> int:
        return self.storage.log_bytes

    @property
    def removed(self) -> bool:
        """A member said that this id was removed, and it is believed."""
        return self.replica.raft.believed_removal is not None

    def role_name(self) -> str:
        if self.failed:
            return "failed"
        return "removed" if self.removed else role_of(self.replica)

    def unready(self) -> str:
        """Empty when ready, else the reason in words."""
        return unready_reason(self)


def _tls(settings: Settings) -> Tls | None:
    if not settings.tls_dir:
        return None
    return Tls(Path(settings.tls_dir), settings.cluster_id, settings.name)


def _shares(settings: Settings) -> Shares:
    found = shares(settings.max_clients, settings.max_handshakes)
    if found.clients < settings.max_clients:
        log.warning(
            "the limit of open files allows fewer clients",
            extra={"clients": found.clients, "max_clients": settings.max_clients},
        )
    return found


def _quieter(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A name that was not found by a connect that nobody waits for any more is no error of ours."""
    if isinstance(context.get("exception"), OSError):
        log.debug("%s: %s", context.get("message"), context["exception"])
    else:
        loop.default_exception_handler(context)


async def serve(settings: Settings, stop: asyncio.Event | None = None) -> None:
    """Runs a node until `stop` is set, by default by SIGTERM or SIGINT. Raises what ended it before
    its time."""
    sys.setswitchinterval(0.0005)  # a disk thread that is done should not wait 5 ms for the loop
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_quieter)
    if stop is None:
        stop = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, stop.set)
    node = Node(settings)
    await node.start()
    gc.freeze()  # what was loaded stays: the collector need not look at it again
    await node.run_until(stop)
