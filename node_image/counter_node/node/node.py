"""Wires the rooms together: sockets and timers on one side, the pure replica in the middle, disk
and cache on the other.

One turn of the loop: whatever the sockets delivered was handed to the replica; then `_turn` runs
once, sends one message to each peer, starts the disk job, and writes each client's replies. Nothing
here decides about Raft or counters."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import secrets
import signal
import ssl
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from counter_node import __version__, memory
from counter_node.admin.commands import Admin
from counter_node.cache.publisher import Publisher
from counter_node.counters.batches import Limits
from counter_node.counters.history import ids
from counter_node.counters.machine import Machine, SnapshotFormatError, UnknownOperationError
from counter_node.counters.ops import is_write
from counter_node.logs import log
from counter_node.net.clients import ClientServer
from counter_node.net.descriptors import shares
from counter_node.net.http import Pages
from counter_node.net.peers import REMOVED, Hello, Peers, Welcome, frame, frames
from counter_node.net.reach import reached
from counter_node.node.disk_worker import DiskWorker
from counter_node.node.own_reads import Questions
from counter_node.node.snapshot_sender import SnapshotSender
from counter_node.node.snapshot_taker import SnapshotTaker
from counter_node.node.writing import Writing
from counter_node.raft.alone import why_not_alone
from counter_node.raft.leadership import Busy
from counter_node.raft.lease import Promise
from counter_node.raft.membership import ChangeRefused
from counter_node.raft.messages import AppendResponse, InstallSnapshot
from counter_node.raft.state import Config
from counter_node.raft.types import (
    NONE,
    Entry,
    EntryKind,
    HardState,
    Member,
    Membership,
    NodeId,
    Snapshot,
)
from counter_node.replica.gateway import Gateway
from counter_node.replica.log_time import Note, holds, worth_keeping
from counter_node.replica.replica import DiskJob, PeerMessage, Replica, first_snapshot
from counter_node.resp.commands import CATALOGUE
from counter_node.security.access import Access
from counter_node.security.door import Door, Factory
from counter_node.security.refusals import Refusals
from counter_node.security.tls import Tls
from counter_node.settings import LARGEST_ENTRY_BYTES, Settings
from counter_node.storage import (
    DamagedError,
    DiskFailedError,
    DiskFullError,
    Failpoints,
    Storage,
    StorageError,
    clock_note,
)
from counter_node.views.metrics import Metrics
from counter_node.views.status import pages, unready_reason

RECOVERED_S = 0.2
"""Between the answer to RAFT.RECOVER and the end of the process."""
KEEP_NOTE_MS = 1_000
"""How often the note of log time goes to the disk. An old one is nearly as good: clocks drift."""
MIND_DISK_MS = 1_000
"""How often a full disk is looked at."""
HAND_OVER_AGAIN_S = 10.0
"""Between two attempts of a leader with a full disk: the others' may be full as well."""
MERGE_S = 0.001
"""For so long what was gathered while a batch was in flight waits for the next commands of those
who were answered, to go as one batch with them."""
FREEZE_EVERY = 500
"""So many more containers of the state are taken out of the sight of the collector of garbage. One
holds up to 128 names, and the collector looks at each: some 3 ms."""
RETRY_TICKS = 5
"""Silence after which a gateway sends its batch again."""


TOO_OLD = (SnapshotFormatError, UnknownOperationError)
"""Errors by which a node says that its version is too old for its data."""


class EndedByErrorError(Exception):
    """Something that must not happen ended a node that was running, whatever it was: not to be
    taken for what keeps one from starting."""


class Node:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.memory_bytes = settings.memory_bytes or memory.limit_bytes()
        self.failed = ""  # why the disk is not used any more
        self.stopping = False
        self.started = False
        self.born = time.monotonic()
        self.refusals = Refusals()
        self.tls = (
            Tls(Path(settings.tls_dir), settings.cluster_id, settings.name)
            if settings.tls_dir
            else None
        )
        users = Path(settings.acl_file) if settings.acl_file else None
        self.access = Access(users, CATALOGUE, self.refusals, Path(settings.data_dir))
        self.metrics = Metrics(self)
        self.returns = memory.Returns(time.monotonic)
        self._questions = Questions(self._ask)
        self.shares = shares(settings.max_clients, settings.max_handshakes)
        if self.shares.clients < settings.max_clients:
            log.warning(
                "the limit of open files allows fewer clients",
                extra={"clients": self.shares.clients, "max_clients": settings.max_clients},
            )
        self.clients = ClientServer(self, self.shares.clients)
        self._deliver: Callable[[Sequence[tuple[Any, list[Any]]]], None] = self.clients.deliver
        if (failpoints := Failpoints.from_environment()) is not None:
            self._deliver = failpoints.before("node.reply", self._deliver)
        self.admin = Admin(self)
        self.cache = (
            Publisher(
                settings.cache,
                self,
                self.metrics.cache_delay_seconds.observe,
                settings.cache_options,
            )
            if settings.cache
            else None
        )
        self._loop = asyncio.get_running_loop()
        self.fatal: asyncio.Future[None] = (
            self._loop.create_future()
        )  # gets the error that ends the node
        self.storage, recovered = Storage.open(
            Path(settings.data_dir), settings.cluster_id, segment_bytes=settings.segment_bytes
        )
        if recovered.repaired:
            log.warning("the log's torn tail was repaired: %s", recovered.repaired)
        self.access.file.keep()
        self.id: NodeId = recovered.node_id
        self._boot_id = clock_note.boot_id()
        kept = clock_note.load(Path(settings.data_dir), self._boot_id, clock_note.running_ms())
        self._kept_note: tuple[Note, int] | None = None  # by this process
        self._saves_note = False
        begins = recovered.snapshot.meta.index if recovered.snapshot is not None else 0
        note = kept[0] if kept is not None and holds(kept[1], begins, recovered.entries) else None
        entries = recovered.behind + recovered.entries
        self.replica = self._make_replica(
            recovered.hard_state, recovered.snapshot, entries, note, second=True
        )
        self.peers = Peers(self, self._hello, self.tls)
        self._sender = SnapshotSender(self.storage)
        self.snapshots = SnapshotTaker(
            self,
            self.storage,
            len(recovered.snapshot.state) if recovered.snapshot is not None else 0,
        )
        self.worker = DiskWorker(self._loop, self.storage, self.metrics.disk_jobs.add)
        self._turn_due = self._in_turn = self._another_turn = self._again_soon = False
        self._compact_to: int | None = None
        self._waits_for_room = False  # the job under way
        self._linked: Membership | None = None
        self._frozen = 0
        self._was_leader = False
        self._last_tick = 0.0
        self._ticks = 0
        self._hand_over_not_before = 0.0
        self._mind_disk()
        self._timer: asyncio.TimerHandle | None = None
        self._doors: list[Door] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def _make_replica(
        self,
        hard_state: HardState,
        snapshot: Snapshot | None,
        entries: list[Entry],
        note: Note | None,
        *,
        second: bool = False,
    ) -> Replica:
        s = self.settings
        gateway = Gateway(
            secrets.randbits(62),
            is_write=is_write,
            tick_ms=s.tick_ms,
            patience_ticks=max(1, s.patience_ms // s.tick_ms),
            retry_ticks=RETRY_TICKS,
            max_batch_bytes=s.max_entry_bytes // 2,
            max_entry_bytes=s.max_entry_bytes,
        )
        config = Config(
            self.id,
            heartbeat_ticks=s.heartbeat_ticks,
            election_ticks=s.election_ticks,
            max_entry_bytes=LARGEST_ENTRY_BYTES,
            max_write_bytes=s.segment_bytes // 2,
        )
        promise = (
            Promise(clock_note.running_ms, s.election_ticks * s.tick_ms) if s.lease_reads else None
        )
        replica = Replica(
            config,
            hard_state,
            snapshot,
            entries,
            gateway=gateway,
            clock_ms=clock_note.wall_ms,
            running_ms=clock_note.running_ms,
            note=note,
            second_note=second,
            synchronised=clock_note.synchronised,
            randint=random.SystemRandom().randint,
            promise=promise,
            knows=s.level,
            limits=Limits(s.max_keys, s.max_producers),
            max_bytes=self._max_bytes(),
            user_limits=self.access.user_limits,
        )
        replica.on_applied = self._on_applied
        return replica

    def _max_bytes(self) -> int:
        clients = memory.client_bytes(self.settings.client_bytes, self.memory_bytes)
        return self.settings.max_bytes or memory.state_bytes(self.memory_bytes, clients)

    def _hello(self, expects: NodeId) -> Hello:
        s = self.settings
        return Hello(
            s.cluster_id,
            self.id,
            expects,
            s.name,
            s.advertise_peer,
            s.advertise_resp,
            level=s.level,
        )

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        s, loop = self.settings, self._loop
        await self._listen(self.peers.inbound, s.peer_port, members=True)
        await self._listen(self.clients.client, s.resp_port, backlog=1024)
        await self._listen(self.clients.administrator, s.admin_port, members=True)
        await self._listen(
            Pages(pages(self), self.clients.turns, self.refusals, self.shares.http).connection,
            s.http_port,
        )
        if s.cluster_port:
            await self._listen(self.clients.cluster_client, s.cluster_port, backlog=1024)
        if self.tls is None and s.acl_file:
            log.warning(
                "passwords guard the clients' ports only: without TLS the admin and peer ports "
                "obey whoever reaches them"
            )
        clients, state = self.clients.holdings.limit, self._max_bytes()
        if (
            self.memory_bytes
            and (wanted := memory.needs(self.memory_bytes, clients, state)) > self.memory_bytes
        ):
            text = (
                "the memory of %d bytes may not be enough: clients (%d), state (%d) and what "
                "goes with them come to %d"
            )
            log.warning(text, self.memory_bytes, clients, state, wanted)
        self.started = True
        self._last_tick = loop.time()
        self._tick_later()
        self.wake()
        log.info(
            "node started",
            extra={
                "node_id": f"{self.id:016x}",
                "role": self.replica.role_name(),
                "version": __version__,
            },
        )

    async def _listen(
        self, factory: Factory, port: int, *, members: bool = False, backlog: int = 100
    ) -> None:
        """`members`: with TLS only for those who have a certificate of this cluster."""

        def context() -> ssl.SSLContext | None:
            if self.tls is None:
                return None
            return self.tls.current.members if members else self.tls.current.clients

        s = self.settings
        door = Door(
            factory,
            context,
            self.refusals,
            max_handshakes=self.shares.handshakes,
            handshake_s=s.handshake_ms / 1000,
        )
        await door.listen(s.bind, port, backlog)
        self._doors.append(door)

    async def run_until(self, stop: asyncio.Event) -> None:
        """Serves until `stop` is set, then ends politely. Raises the error that ended the node
        before its time."""
        ends: list[asyncio.Future[Any]] = [self._loop.create_task(stop.wait()), self.fatal]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if self.fatal.done():
            self.fatal.result()
        await self.stop()

    async def stop(self) -> None:
        """SIGTERM: hand leadership over, answer what is in flight, then end; bounded by
        `shutdown_ms`."""
        self.stopping = True
        log.info("stopping")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.shutdown_ms / 1000):
                await self._hand_over()
                self.clients.stop_reading()
                while not (
                    (self.replica.gateway.idle and not self.replica.reads_wait) or self.failed
                ):
                    await asyncio.sleep(0.01)
        self.clients.close()
        for door in self._doors:
            door.close()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        if self.cache is not None:
            await self.cache.stop()
        await self.peers.close()
        if (note := self.replica.time.note) is not None and not self.failed:
            clock_note.save(
                Path(self.settings.data_dir), self._boot_id, note, self.replica.raft.log.last_index
            )
        self.worker.close()
        self._sender.close()
        self.storage.close()
        self.access.file.close()
        log.info("stopped")

    async def _hand_over(self) -> None:
        leadership = self.replica.raft.leadership
        if leadership is None or len(self.replica.raft.voters) < 2:
            return
        with contextlib.suppress(Exception):
            leadership.transfer(NONE)
            self.wake()
        end = self._loop.time() + 2 * self.settings.election_ticks * self.settings.tick_ms / 1000
        while self.replica.is_leader and self._loop.time() < end:
            await asyncio.sleep(0.01)

    def bootstrap(self) -> None:
        """Form a new cluster of this one node. The caller has checked that the node never belonged
        to one."""
        s, began_ms = self.settings, clock_note.wall_ms()
        machine = Machine(
            s.max_keys,
            max_producers=s.max_producers,
            max_bytes=self._max_bytes(),
            knows=s.level,
            began_ms=began_ms,
            history=_new_history(),
        )
        first = first_snapshot(_member(self.id, s), machine)
        self.storage.save_snapshot(first)
        self.storage.write(HardState(1, NONE, first.meta.index), [], first.meta)
        self.storage.sync()
        track_dirty = self.replica.machine.track_dirty
        self.replica = self._make_replica(
            HardState(1, NONE, first.meta.index), first, [], Note(began_ms, clock_note.running_ms())
        )
        self.replica.machine.track_dirty = track_dirty
        self.replica.raft.campaign()
        log.info(
            "cluster bootstrapped", extra={"cluster_id": s.cluster_id, "node_id": f"{self.id:016x}"}
        )
        self.wake()

    async def recover(self) -> str:
        """Give up the lost majority: this node goes on as the only member of its cluster, and every
        other id is removed. Ends the node, which starts anew from what is on the disk then. Returns
        why not; the caller has checked that this node is a voter."""
        if why := why_not_alone(self.replica.raft, ()):
            return why
        members = [m for m in self.replica.raft.membership.members if m.id != self.id]
        answer = await reached([(m, self._hello(m.id)) for m in members], self.tls, self.settings)
        while self.replica.writing or self.snapshots.busy:
            await asyncio.sleep(0.01)
        if why := self.failed or why_not_alone(
            self.replica.raft, answer
        ):  # last of all: a leader may have been elected meanwhile
            return why
        self.failed = "goes on alone: it starts anew"  # from here on nothing else is written
        snapshot = self.replica.sole_survivor(_member(self.id, self.settings), _new_history())
        self.storage.save_snapshot(snapshot)
        self.storage.write(
            HardState(snapshot.meta.term, NONE, snapshot.meta.index), [], snapshot.meta
        )
        self.storage.sync()
        log.critical(
            "the majority is given up; this node goes on alone",
            extra={"index": snapshot.meta.index, "term": snapshot.meta.term},
        )
        self._loop.call_later(RECOVERED_S, self._end)
        return ""

    def _end(self) -> None:
        if not self.fatal.done():
            self.fatal.set_result(None)

    # --- clock ------------------------------------------------------------------------------------

    def _tick_later(self) -> None:
        self._timer = self._loop.call_later(self.settings.tick_ms / 1000, self._tick)

    def _tick(self) -> None:
        """After a stall no tick is counted, whatever time it took: what waits in the sockets is
        heard before any timer runs out."""
        now = self._loop.time()
        lag = now - self._last_tick - self.settings.tick_ms / 1000
        self._last_tick = now
        self.metrics.loop_lag_seconds.observe(max(0.0, lag))
        stalled = lag > self.settings.election_ticks * self.settings.tick_ms / 2000
        self._tick_later()
        try:
            if stalled:
                log.warning("the loop stalled", extra={"seconds": round(lag, 3)})
                self.replica.stalled(lag * 1000 / self.settings.tick_ms)
            else:
                self.replica.tick()
                self.replica.govern(self.peers.levels())
        except Exception as error:
            self._end_with(error)
        self._freeze()
        machine = self.replica.machine
        self.returns.look(machine.size_bytes, machine.tidied_bytes, more=machine.untidy)
        self._ticks += 1
        if (
            self.replica.time.lowered
            or self._ticks * self.settings.tick_ms % KEEP_NOTE_MS < self.settings.tick_ms
        ):
            self._keep_note()
        if self._ticks * self.settings.tick_ms % MIND_DISK_MS < self.settings.tick_ms:
            self._mind_disk(again=True)
        self.clients.tick()
        self.peers.tick()
        if self.tls is not None:
            self.tls.refresh()
        self.access.refresh(self.clients.sessions)
        self.replica.user_limits = self.access.user_limits
        self._sync_links()
        self.wake()

    def _keep_note(self) -> None:
        if self._saves_note:
            return  # tried again later: an older one must not come last
        note, last_index = self.replica.time.note, self.replica.raft.log.last_index
        self.replica.time.lowered = False
        if (
            note is not None
            and not self.failed
            and worth_keeping(self._kept_note, note, last_index)
        ):
            self._saves_note = True
            self.spawn(self._save_note(note, last_index))

    async def _save_note(self, note: Note, last_index: int) -> None:
        kept = await asyncio.to_thread(
            clock_note.save, Path(self.settings.data_dir), self._boot_id, note, last_index
        )
        self._kept_note, self._saves_note = (note, last_index) if kept else None, False

    def _freeze(self) -> None:
        """The collector of garbage looks through all containers now and then, those of a million
        counters for 0.05 s. So what the tables have grown by is taken out of its sight, soon: of
        ten million counters a quarter more held the loop for 115 ms. It is freed like everything
        else when nobody refers to it. Garbage would stay for ever; so it is collected before,
        where that is a matter of a few ms."""
        containers = self.replica.machine.containers()
        grown = containers - self._frozen
        if grown > FREEZE_EVERY:
            if grown < 2 * FREEZE_EVERY:
                gc.collect()
            gc.freeze()
        if not 0 <= grown <= FREEZE_EVERY:
            self._frozen = containers

    def wake(self) -> None:
        """Something changed in the replica: a turn is due."""
        if not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self._turn)

    # --- the turn ---------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Nothing when `turn_now` did what was due."""
        if self._turn_due:
            self.turn_now()

    def turn_now(self) -> None:
        """Others wait for what this turn sends, so it does not wait for the next round of the loop.
        In the middle of a turn: right after that one."""
        self._another_turn = True
        if self._in_turn:
            return
        self._in_turn = True
        try:
            while self._another_turn:
                self._another_turn = False
                self._one_turn()
        except Exception as error:
            self._end_with(error)
        finally:
            self._in_turn = False

    def _end_with(self, error: BaseException) -> None:
        """An error in the middle of a turn leaves a node that looks alive and is not (a disk job
        that is never written, say). It ends the node: started anew from its disk, it is whole
        again."""
        log.critical("the node ends: a turn failed", exc_info=error)
        if not self.fatal.done():
            self.fatal.set_exception(
                error if isinstance(error, TOO_OLD) else EndedByErrorError(error)
            )

    def _one_turn(self) -> None:
        self._turn_due = False
        self.clients.lane.submit()
        turn = self.replica.turn()
        if turn.messages:
            self._send(turn.messages)
        if turn.replies:
            self._deliver(
                self._questions.take(turn.replies) if self._questions.open else turn.replies
            )
        if turn.job is not None:
            self._start_job(turn.job)
        self.metrics.turned(self.replica.raft)
        if self.cache is not None:
            self._publish(self.cache)
        if self.replica.busy:
            self.wake()
        elif turn.gathered and not self._again_soon:
            self._again_soon = True
            self._loop.call_later(MERGE_S, self._soon)

    def _soon(self) -> None:
        self._again_soon = False
        if self.replica.gateway.waits:
            self.wake()

    def _send(self, messages: list[tuple[NodeId, PeerMessage]]) -> None:
        by_peer: dict[NodeId, list[PeerMessage]] = {}
        for to, message in messages:
            if isinstance(message, InstallSnapshot):
                self.spawn(self._send_snapshot(to, message))
            else:
                by_peer.setdefault(to, []).append(message)
        last: list[PeerMessage] = []
        found: list[bytes] = []
        for to, bundle in by_peer.items():
            if bundle != last:  # nearly always all members are sent the same
                last, found = bundle, frames(bundle)
            link = self.peers.link(to)
            for data in found:
                if link is None or not link.send(data):
                    self.replica.unreachable(to)
                    break

    async def _send_snapshot(self, to: NodeId, message: InstallSnapshot) -> None:
        link = self.peers.link(to)
        if link is None or not link.connected:
            self.replica.unreachable(to)
            return
        try:
            piece = await self._sender.fill(message)
        except DamagedError as error:
            log.critical(
                "the snapshot that is to be sent cannot be trusted, a new one is taken: %s",
                error,
                extra={"to": f"{to:016x}"},
            )
            self.replica.snapshot_gone(to)
            self.snapshots.take_soon()
            return
        except StorageError as error:
            log.warning(
                "the snapshot that is being sent is not there any more: %s",
                error,
                extra={"to": f"{to:016x}"},
            )
            self.replica.snapshot_gone(to)
            self.wake()
            return
        if not link.send(frame([piece])):
            self.replica.unreachable(to)
        elif message.offset == 0 or piece.last:
            if piece.last:
                self.metrics.events["counter_snapshots_sent"] += 1
            done = message.offset + len(piece.data)
            log.info(
                "snapshot sent" if piece.last else "sending a snapshot",
                extra={"to": f"{to:016x}", "index": message.meta.index, "bytes": done},
            )

    def _publish(self, cache: Publisher) -> None:
        leads = self.replica.is_leader
        machine = self.replica.machine
        if leads != self._was_leader:
            self._was_leader = leads
            machine.track_dirty = leads
            machine.take_dirty()
            if leads:
                cache.start()
            else:
                self.spawn(cache.stop())
        elif leads:
            dirty = machine.take_dirty()
            if machine.take_all_dirty():
                cache.everything_changed()
            if dirty:
                cache.changed(dirty)

    def spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task failed", exc_info=task.exception())

    # --- disk -------------------------------------------------------------------------------------

    def _start_job(self, job: DiskJob) -> None:
        if self.failed:
            return  # never durable, so nothing that depends on it is ever sent
        compact_to, self._compact_to = self._compact_to, None
        Writing(self, job, compact_to).submit()

    def job_done(self, job: DiskJob, no_room: DiskFullError | None) -> None:
        try:
            self._compact_to = (
                self.replica.persisted(job, no_room=no_room is not None) or self._compact_to
            )
            if released := self.replica.take_released():
                self._send(released)
            if no_room is not None:
                log.error(
                    "a snapshot of the leader's is refused until there is room for it: %s", no_room
                )
            elif job.install is not None:
                self.snapshots.last_was(len(job.install.state))
                self.returns.let_go(len(job.install.state))
                self.metrics.events["counter_snapshots_installed"] += 1
        except Exception as failed:
            self._end_with(failed)
        if self.storage.room_bytes is not None or self.replica.disk_room is not None:
            self._mind_disk()
        self.snapshots.if_due()
        if not self.replica.settled:
            self.turn_now()

    def job_waits(self, error: DiskFullError | None, submit: Callable[[bool], None]) -> None:
        """A frame for which not even a segment can begin: nothing was written. It is told, and
        tried again until there is room; meanwhile this node neither votes nor acknowledges, as with
        a disk that takes long."""
        if error is not None:
            if not self._waits_for_room:
                log.error("%s", error)
            self._loop.call_later(MIND_DISK_MS / 1000, submit, True)
        if self._waits_for_room != (error is not None):
            self._waits_for_room = error is not None
            self._mind_disk()

    def job_failed(self, error: BaseException) -> None:
        """What the operating system refused is a failed disk. Everything else is an error of our
        own: it ends the process, which starts anew."""
        if isinstance(error, DiskFailedError | OSError):
            self._disk_failed(error)
        else:
            self._end_with(error)

    def _mind_disk(self, *, again: bool = False) -> None:
        """Without room for the next segment: writes are refused, leadership goes to somebody else,
        and the log is made shorter if it can be. `again`: look whether there is room now (under a
        millisecond; not while a job is being written)."""
        storage, replica = self.storage, self.replica
        if self.failed or (
            storage.room_bytes is None and replica.disk_room is None and not self._waits_for_room
        ):
            return
        if replica.writing and replica.disk_room is None and not self._waits_for_room:
            # the job may just be going on to the next segment: what it leaves is looked at when it
            # is done
            return
        if again and not replica.writing:
            try:
                storage.renew_reserve()
            except StorageError as error:
                self.job_failed(error)
                return
        room = 0 if self._waits_for_room else storage.room_bytes
        if (room is None) != (replica.disk_room is None):
            text = (
                "there is room on the disk again"
                if room is None
                else "the disk is nearly full: writes are refused until there is room on the volume"
            )
            log.log(
                logging.WARNING if room is None else logging.ERROR,
                text,
                extra={"directory": self.settings.data_dir},
            )
        kept = self.settings.segment_bytes // 8
        replica.room_left(None if room is None else room - kept, kept // 2)
        if room is None:
            return
        if again and replica.take_relieved():
            self.snapshots.take_soon(anew=True)
        elif storage.log_bytes > self.settings.segment_bytes:
            self.snapshots.take_soon()
        leadership, now = replica.raft.leadership, self._loop.time()
        if (
            leadership is not None
            and len(replica.raft.voters) > 1
            and now >= self._hand_over_not_before
        ):
            self._hand_over_not_before = now + HAND_OVER_AGAIN_S
            with contextlib.suppress(Busy, ChangeRefused):
                leadership.transfer(NONE)

    def _disk_failed(self, error: BaseException) -> None:
        """Final: nothing is written any more, so nothing is acknowledged; the node steps down, is
        not ready, and says so."""
        if not self.failed:
            self.failed = f"the disk failed: {error}"
            log.critical("%s", self.failed)
        self.replica.fail_disk()
        self.wake()

    # --- from the log -----------------------------------------------------------------------------

    def _on_applied(self, entry: Entry) -> None:
        if self.admin.waiting:
            self.admin.applied(entry)
        if entry.kind is EntryKind.CONFIG:
            self._sync_links()

    def _sync_links(self) -> None:
        """A link to every other member, under the address that the configuration names."""
        membership = self.replica.raft.membership
        if membership is self._linked or not membership.members:
            return
        self._linked = membership
        others = {m.id: m for m in membership.members if m.id != self.id}
        if self.id not in membership.removed:
            self.peers.keep_only(set(others))
            for member in others.values():
                self.peers.ensure(member.id, member.name, member.peer)

    # --- peers (see net/peers.py: Owner) ----------------------------------------------------------

    def peer_hello(self, hello: Hello) -> Welcome:
        if (
            hello.node_id in self.replica.raft.membership.removed
            and hello.expects == self.id
            and hello.cluster_id == self.settings.cluster_id
        ):
            return Welcome(
                REMOVED, self.replica.raft.membership.removal(hello.node_id), self.histories()
            )
        return Welcome(self._unwelcome(hello))

    def _unwelcome(self, hello: Hello) -> str:
        """Why a dialler is refused; empty when it is welcome."""
        if hello.cluster_id != self.settings.cluster_id:
            return f"this is cluster {self.settings.cluster_id}, not {hello.cluster_id}"
        if hello.expects != self.id:
            return f"this is node {self.id:016x}, not {hello.expects:016x}"
        membership, level = self.replica.raft.membership, self.replica.machine.level
        if membership.members and hello.level < level:
            self.refusals.add("peer_too_old")
            return (
                f"the cluster is at level {level}, and node {hello.name!r} knows "
                f"{hello.level}; upgrade it"
            )
        if membership.get(hello.node_id) is None:
            self.peers.ensure(
                hello.node_id, hello.name, hello.peer
            )  # to answer who just adds us, or whom we do not know of yet
        return ""

    def peer_messages(self, sender: NodeId, messages: list[PeerMessage]) -> None:
        try:
            for message in messages:
                self.replica.receive(sender, message)
        except Exception as error:
            self._end_with(error)
        # A follower's leader waits for its answer. A leader looks at the other sockets first, as
        # what they bring goes into the same batch: unless one client is alone.
        replica = self.replica
        if replica.raft.leadership is None or (replica.busy and replica.gateway.serves_one):
            self.turn_now()
        elif not replica.settled or not all(
            isinstance(message, AppendResponse) for message in messages
        ):
            self.wake()

    def peer_lost(self, node: NodeId) -> None:
        if not self.stopping:
            self.replica.link_lost(node)
            self.wake()

    def peer_up(self, node: NodeId) -> None:
        self.replica.link_up(node)
        self.wake()

    def peer_refused(self, node: NodeId, welcome: Welcome) -> None:
        extra = {"peer": f"{node:016x}"}
        log.warning("refused by a peer: %s", welcome.reason, extra=extra)
        if welcome.reason == REMOVED:
            if why := self.replica.raft.hears_of_removal(
                welcome.removal, self.histories(), welcome.histories
            ):
                log.warning("that this node was removed is not believed: %s", why, extra=extra)
            self.wake()

    # --- cache (see cache/publisher.py: Source) ---------------------------------------------------

    def position(self) -> tuple[int, int] | None:
        replica = self.replica
        return (
            (replica.raft.term, replica.applied)
            if replica.is_leader and replica.applied_term == replica.raft.term
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
        return await self._questions.confirm()

    # --- for status and administration ------------------------------------------------------------

    @property
    def log_bytes(self) -> int:
        return self.storage.log_bytes

    @property
    def removed(self) -> bool:
        """A member told us that this id was removed, and it is believed."""
        return self.replica.raft.told_removed is not None

    def role_name(self) -> str:
        if self.failed:
            return "failed"
        return "removed" if self.removed else self.replica.role_name()

    def unready(self) -> str:
        """Empty when ready, else the reason in words."""
        return unready_reason(self)


def _new_history() -> str:
    return secrets.token_hex(8)


def _member(node_id: NodeId, s: Settings) -> Member:
    return Member(node_id, s.name, s.advertise_peer, s.advertise_resp, True)


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
