"""One simulated node: its disk, and while it is up, a replica. What node/ does around a replica is
done here in virtual time."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable

import msgspec
from counter_node.counters.batches import LimitsRow
from counter_node.counters.levels import LEVEL
from counter_node.counters.ops import is_write
from counter_node.net.pulse import Pulse
from counter_node.raft.fitness import Busy
from counter_node.raft.lease import Promise
from counter_node.raft.membership import ChangeRefused
from counter_node.raft.messages import AppendResponse, InstallSnapshot
from counter_node.raft.state import Config
from counter_node.raft.types import NodeId, Snapshot
from counter_node.replica import log_time
from counter_node.replica.disk_jobs import DiskJob
from counter_node.replica.disk_room import ENTRY_BYTES
from counter_node.replica.gateway import Gateway
from counter_node.replica.governor import Wanted
from counter_node.replica.log_time import Note, holds, worth_keeping
from counter_node.replica.peer_messages import PeerMessage
from counter_node.replica.replica import Replica, Turn
from counter_node.resp.called import operation

from tests.simulation.around import Around
from tests.simulation.clocks import Clocks
from tests.simulation.disks import RESERVE_BYTES, DiskError, ModelDisk, StorageDisk
from tests.simulation.invariants import MAX_ENTRY_BYTES
from tests.support.sim_disk import CrashError

TICK_MS = 10
ELECTION_TICKS = 10
PATIENCE_TICKS = 300
RETRY_TICKS = 20
PIECE_BYTES = 150
"""Small, so that snapshots take many pieces."""
_decode = msgspec.msgpack.Decoder(PeerMessage).decode


class Node:
    """One node: its disk, and while it is up, a replica."""

    def __init__(self, world: Around, node_id: NodeId) -> None:
        self.world = world
        self.id = node_id
        self.disk: ModelDisk = (
            StorageDisk(node_id, world.random)
            if world.real_storage
            else ModelDisk(node_id, world.random)
        )
        self.replica: Replica | None = None
        self.incarnation = 0
        self.paused = False
        # As much drift as leases, and log time, allow.
        self.clocks = Clocks(world, world.random.uniform(0.955, 1.045))
        self._note: tuple[int, Note, int] | None = (
            None  # on the disk: the boot, log time by its running clock, last index
        )
        self.inbox: deque[tuple[NodeId, bytes]] = deque()
        self.requests: deque[Callable[[Node], None]] = deque()
        self.turn_due = self.stirred = False
        self.pulses: dict[NodeId, Pulse] = {}
        self.job: DiskJob | None = None
        self.saving: Snapshot | None = None
        self.failed = (
            False  # the disk failed: nothing is written any more until it is started again
        )
        self.stays_failed = False  # its keeper does not start it again
        self.down_since = 0.0
        self.user_limits: tuple[LimitsRow, ...] | None = None  # of its file of users
        self.max_bytes: int | None = None
        self._keep_from: int | None = None
        self._ticked_at = 0.0

    @property
    def up(self) -> bool:
        return self.replica is not None

    def start(self) -> None:
        world = self.world
        self.incarnation += 1
        try:
            self.disk.open()
        except CrashError:
            self.start_in(50)
            return
        self._ticked_at = world.now
        self.replica = self._fresh_replica()
        world.invariants.watch(self)
        self.replica.applying.on_applied = lambda entry: world.invariants.applied(self, entry)
        self._mind_disk()
        self._tick_later(self.incarnation)
        self.wake()

    def _fresh_replica(self) -> Replica:
        """Of what is on the disk."""
        world = self.world
        promise = (
            Promise(self.clocks.running_ms, ELECTION_TICKS * TICK_MS) if world.leases else None
        )
        gateway = Gateway(
            world.random.getrandbits(62),
            is_write=is_write,
            tick_ms=TICK_MS,
            patience_ticks=PATIENCE_TICKS,
            retry_ticks=RETRY_TICKS,
            max_batch=100,
            max_batch_bytes=MAX_ENTRY_BYTES // 2,
            max_entry_bytes=MAX_ENTRY_BYTES,
        )
        return Replica(
            Config(
                self.id,
                election_ticks=ELECTION_TICKS,
                max_inflight=8,
                promote_lag=20,
                keep_entries=30,
                max_entry_bytes=MAX_ENTRY_BYTES,
                max_write_bytes=3_000,
            ),
            self.disk.hard_state,
            self.disk.snapshot,
            self.disk.behind + self.disk.entries,
            gateway=gateway,
            clocks=log_time.Clocks(
                self.clocks.wall_ms,
                self.clocks.running_ms,
                lambda: self.clocks.synchronised,
            ),
            note=self._kept_note(),
            second_note=True,
            operation=operation,
            randint=world.random.randint,
            promise=promise,
            wanted=Wanted(max_bytes=self.max_bytes, user_limits=self.user_limits),
        )

    def _kept_note(self) -> Note | None:
        """As node/ does."""
        if self._note is None or self._note[0] != self.clocks.boot:
            return None
        snapshot = self.disk.snapshot
        begins = snapshot.meta.index if snapshot is not None else 0
        return self._note[1] if holds(self._note[2], begins, self.disk.entries) else None

    def crash(self) -> None:
        """Everything that is not on the disk is gone; what happens to writes under way is the
        disk's business."""
        self.disk.crash(None if self.failed else self.job, self.saving)
        self.replica, self.job, self.saving, self._keep_from = None, None, None, None
        self.down_since = self.world.now
        self.paused = self.turn_due = self.failed = False
        self.inbox.clear()
        self.requests.clear()
        self.pulses.clear()
        self.world.node_down(self)

    def reboot(self) -> None:
        """Of the machine, while the process is down."""
        self.clocks.reboot()

    def start_in(self, delay_ms: float) -> None:
        self.world.at(delay_ms, lambda: None if self.up else self.start())

    def _tick_later(self, incarnation: int) -> None:
        self.world.at(TICK_MS, lambda: self._tick(incarnation))

    def _tick(self, incarnation: int) -> None:
        if incarnation != self.incarnation or self.replica is None:
            return
        self._tick_later(incarnation)
        if not self.paused:
            note = self.replica.time.note
            if note is not None and (
                self.replica.time.lowered or self.world.random.random() < 0.01
            ):
                self.replica.time.lowered = False
                last = self.replica.raft.log.last_index
                if (
                    self._note is None
                    or self._note[0] != self.clocks.boot
                    or worth_keeping(self._note[1:], note, last)
                ):
                    self._note = (self.clocks.boot, note, last)
            late, self._ticked_at = (self.world.now - self._ticked_at) / TICK_MS, self.world.now
            if late > ELECTION_TICKS / 2:
                self.replica.stalled(late)
            else:
                self.replica.tick()
                self.replica.govern({m.id: LEVEL for m in self.replica.raft.membership.members})
            self._mind_disk()
            self._mind_links()
            self.wake()

    def fill_disk(self, room: int) -> None:
        self.disk.room, self.disk.on_its_way = room, 0
        if self.replica is not None:
            log = self.replica.raft.log
            entries = log.entries[log.unstable - log.offset - 1 :] + (
                self.job.entries if self.job is not None else []
            )
            self.disk.on_its_way = sum(len(entry.data) + ENTRY_BYTES for entry in entries)
        self._mind_disk()

    def _mind_links(self) -> None:
        """As net/peers.py: a link that is silent is dialled again."""
        assert self.replica is not None
        members = {m.id for m in self.replica.raft.membership.members} - {self.id}
        for peer in sorted(members):
            pulse = self.pulses.setdefault(peer, Pulse(ELECTION_TICKS))
            beat = pulse.tick()
            if beat.ask and self.world.link_works(self.id, peer):
                pulse.heard()
            if beat.dial and self.world.dial(self.id, peer):
                pulse.welcomed(answers=True)
                self.replica.link_up(peer)

    def _mind_disk(self) -> None:
        """As node/disk.py: the replica learns what the disk can still take, and a leader hands
        over."""
        replica, room = self.replica, self.disk.room
        if replica is None or self.failed or (room is None and not replica.room.full):
            return
        replica.room_left(room, RESERVE_BYTES // 2)
        leadership, to = replica.raft.leadership, replica.group_room.with_room()
        if room is not None and leadership is not None and to and self.world.random.random() < 0.01:
            with contextlib.suppress(Busy, ChangeRefused):
                leadership.transfer(to)

    def wake(self, *, stirred: bool = True) -> None:
        """Not `stirred`: for a turn that node/ leaves out when the replica is settled; here it is
        made, and must come to nothing."""
        self.stirred = self.stirred or stirred
        if not self.turn_due and self.up and not self.paused:
            self.turn_due = True
            incarnation = self.incarnation
            self.world.at(0.01, lambda: self._turn(incarnation))

    def resume(self) -> None:
        self.paused = False
        self.wake()

    def receive(self, sender: NodeId, data: bytes) -> None:
        if self.up:
            self.inbox.append((sender, data))
            self.wake(stirred=False)

    @property
    def down_ms(self) -> float:
        """For how long it has not run; 0 while it does."""
        return 0.0 if self.up else self.world.now - self.down_since

    def request(self, action: Callable[[Node], None]) -> None:
        self.requests.append(action)
        self.wake()

    def _turn(self, incarnation: int) -> None:
        if incarnation != self.incarnation or self.replica is None:
            return
        self.turn_due = False
        if self.paused:
            return
        stirred, self.stirred = self.stirred, False
        while self.inbox:
            sender, data = self.inbox.popleft()
            message = _decode(data)
            stirred = stirred or not isinstance(message, AppendResponse)
            self.replica.receive(sender, message)
        while self.requests:
            self.requests.popleft()(self)
        settled = not stirred and self.replica.turn_would_do_nothing
        turn = self.replica.turn()
        assert not settled or turn == Turn([], None, [], False), (
            f"node {self.id} was settled, and had {turn}"
        )
        self.world.invariants.after_turn(self)
        for to, message in turn.messages:
            self._send(to, message)
        for token, replies in turn.replies:
            token(*replies)
        if turn.job is not None:
            self.world.invariants.before_write(self, turn.job.entries)
            self._write(turn.job, incarnation)
        if self.replica is not None and self.replica.applying.unfinished:
            self.wake()

    def _send(self, to: NodeId, message: PeerMessage) -> None:
        if isinstance(message, InstallSnapshot):
            assert self.replica is not None
            snapshot = self.disk.files.get(message.meta)
            if snapshot is None:
                self.replica.snapshot_gone(to)
                return
            end = message.offset + PIECE_BYTES
            message = msgspec.structs.replace(
                message, data=snapshot.state[message.offset : end], last=end >= len(snapshot.state)
            )
        self.world.send(self, to, message)

    def _write(self, job: DiskJob, incarnation: int) -> None:
        self.job = job
        if self.failed:
            return
        self.world.at(
            self.world.sync_delay() + self.world.save_delay(job.install),
            lambda: self._written(job, incarnation),
        )

    def _written(self, job: DiskJob, incarnation: int) -> None:
        if incarnation != self.incarnation or self.replica is None:
            return
        if self.paused:
            self.world.at(TICK_MS, lambda: self._written(job, incarnation))
            return
        keep_from, self._keep_from = self._keep_from, None
        try:
            no_room = self.disk.write(job, keep_from)
        except DiskError:
            self._fail()
            return
        self.job = None
        self._keep_from = self.replica.persisted(job, no_room=no_room)
        self._mind_disk()
        self.wake(stirred=False)

    def _fail(self) -> None:
        """As node/ does: step down, write no more. Its keeper starts it again some time later."""
        assert self.replica is not None
        self.world.trace("disk failed", self.id)
        self.failed = True
        self.replica.fail_disk()
        self.wake()
        if not self.stays_failed:
            incarnation = self.incarnation
            self.world.at(self.world.random.uniform(100, 2_000), lambda: self._replace(incarnation))

    def _replace(self, incarnation: int) -> None:
        if incarnation == self.incarnation and self.failed:
            self.crash()
            self.start()

    def take_snapshot(self) -> None:
        """The file is written beside everything else; then the log names it in the next job."""
        replica = self.replica
        if (
            replica is None
            or self.paused
            or self.failed
            or self.saving is not None
            or not replica.applying.whole
        ):
            return
        if replica.applied > replica.raft.snapshot.index:
            self.saving = replica.take_snapshot()
            incarnation = self.incarnation
            self.world.at(
                self.world.sync_delay() + self.world.save_delay(self.saving),
                lambda: self._saved(incarnation),
            )

    def _saved(self, incarnation: int) -> None:
        if incarnation != self.incarnation or self.replica is None or self.saving is None:
            return
        snapshot, self.saving = self.saving, None
        if self.failed:
            return
        try:
            if not self.disk.save(snapshot):
                return  # no room; another time
        except DiskError:
            self._fail()
            return
        self.replica.snapshot_saved(snapshot.meta)
        self.wake()
