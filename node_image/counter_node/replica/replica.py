"""One node without its sockets and disk: Raft core, state machine and gateway joined. Pure, so that
the simulator runs exactly what production runs.

The driver (node/, or the simulator) feeds `tick`, `receive`, `submit_write`, `submit_read`; then
calls `turn` once per turn of its loop, sends the messages, delivers the replies, and writes the
disk job if there is one. When that is durable it calls `persisted`.

    admission.py     clients' commands on their way to gateway.py
    gateway.py       numbered batches out, replies from this node's own apply
    offers.py        those on their way into the log
    tail.py          which of them are in the log already
    applying.py      entries, reads and received snapshots, in slices
    late_reads.py    reads that wait for log time
    time_entries.py  what moves log time (timekeeper.py, log_time.py, agreed_time.py)
    governor.py      level, history and limits
    disk_jobs.py     what is to be written, and what waits for it
    disk_room.py     what a full disk still takes (relief.py)
    group_room.py    and those of a majority
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from counter_node.counters.dump import Dump
from counter_node.counters.levels import LEVEL
from counter_node.counters.machine import Machine
from counter_node.counters.scripts import Operation, no_operation
from counter_node.raft.core import Raft
from counter_node.raft.lease import Promise
from counter_node.raft.messages import (
    Append,
    AppendResponse,
    HeartbeatResponse,
    Message,
    ReadRequest,
)
from counter_node.raft.state import Config, Role
from counter_node.raft.types import (
    NONE,
    Entry,
    HardState,
    NodeId,
    Snapshot,
    SnapshotMeta,
)
from counter_node.replica.admission import Admission
from counter_node.replica.applying import Applying
from counter_node.replica.bundles import Op, Token
from counter_node.replica.disk_jobs import DiskJob, DiskJobs
from counter_node.replica.disk_room import DiskRoom
from counter_node.replica.gateway import Gateway
from counter_node.replica.governor import Governor, Wanted
from counter_node.replica.group_room import GroupRoom
from counter_node.replica.late_reads import LateReads
from counter_node.replica.log_time import ClockAnswer, ClockAsk, Clocks, LogTime, Note
from counter_node.replica.offers import Offers
from counter_node.replica.peer_messages import Forward, NotTaken, PeerMessage
from counter_node.replica.time_entries import TimeEntries
from counter_node.replica.timekeeper import Timekeeper

MOST_PUT_OFF: Final = 2
"""Turns for which a follower may put off applying."""


class Turn(msgspec.Struct, frozen=True):
    messages: list[tuple[NodeId, PeerMessage]]
    job: DiskJob | None
    replies: list[tuple[Token, list[Any]]]
    gathered: bool
    """Something was answered, and what was gathered meanwhile can go now. The clients that were
    answered are likely to send more in a moment: it is well to wait for that, but not for long, as
    nothing else may come."""


class Replica:
    def __init__(
        self,
        config: Config,
        hard_state: HardState,
        snapshot: Snapshot | None,
        entries: list[Entry],
        *,
        gateway: Gateway,
        clocks: Clocks,
        randint: Callable[[int, int], int],
        promise: Promise | None = None,
        knows: int = LEVEL,
        wanted: Wanted | None = None,
        note: Note | None = None,
        second_note: bool = False,
        operation: Operation = no_operation,
    ) -> None:
        """`knows`: the level of this version. `note`: log time as this node knows it;
        `second_note`: by its disk, so that others may know better. `operation`: for the commands
        of scripts."""
        meta = snapshot.meta if snapshot is not None else SnapshotMeta()
        self.raft = Raft(config, hard_state, meta, entries, randint, promise)
        self.raft.snapshot_taken(meta)
        self.gateway = gateway
        machine = Machine(knows=knows)
        if snapshot is not None:
            machine = Machine.restore(snapshot.state, knows)
        machine.operation = operation
        self.applying = Applying(self.raft, machine, meta.term, gateway, knows=knows)
        self.room = DiskRoom(self._now)
        self.group_room = GroupRoom(self.raft, self.room, self._now)
        self.time = LogTime(
            clocks.wall_ms, clocks.running_ms, lambda: self.machine, note, second=second_note
        )
        self.applying.on_new_marks = self.time.forget
        self.keeper = Timekeeper(self.raft.id, self.time, clocks.synchronised)
        self.time_entries = TimeEntries(self)
        self.governor = Governor(self, knows, wanted or Wanted(), randint)
        self._admission = Admission(gateway, self.room, self.group_room, knows)
        self._late_reads = LateReads(self.raft, self.time_entries)
        self.jobs = DiskJobs(self.raft, self.send)
        self.offers = Offers(self, self._admission)
        self._messages: list[tuple[NodeId, PeerMessage]] = []
        self._put_off = 0  # turns
        self._relieved = False

    def send(self, to: NodeId, message: PeerMessage) -> None:
        self._messages.append((to, message))

    def _now(self) -> tuple[int, int]:
        """Log time and the calendar, as far as what is applied says."""
        machine = self.machine
        return machine.time_ms, machine.time_ms + machine.offset_ms

    # --- state in words ---------------------------------------------------------------------------

    @property
    def machine(self) -> Machine:
        return self.applying.machine

    @property
    def applied(self) -> int:
        return self.raft.log.applied

    @property
    def is_leader(self) -> bool:
        return self.raft.role is Role.LEADER

    @property
    def is_voter(self) -> bool:
        return self.raft.id in self.raft.voters

    @property
    def disk_failed(self) -> bool:
        return self._admission.disk_failed

    @property
    def writing(self) -> bool:
        """A disk job is under way."""
        return self.jobs.under_way is not None

    @property
    def disk_is_late(self) -> bool:
        """This node cannot vote, acknowledge or lead: its disk failed, or the job under way has
        taken an election timeout."""
        return self.disk_failed or self.jobs.late

    # --- what the driver puts in ------------------------------------------------------------------

    def tick(self) -> None:
        self.jobs.tick()
        self._judge_disk()
        self.machine.shrink()
        self.raft.tick()
        self.gateway.tick(led=self.raft.leader != NONE)
        self.keeper.tick()
        if self.is_leader:
            self.time_entries.tick()

    def fail_disk(self) -> None:
        """Final: the disk takes nothing any more, so nothing can be acknowledged to a leader, and
        nothing new is learnt from it."""
        if not self.disk_failed:
            self._admission.fail_disk()
            self._judge_disk()

    def _judge_disk(self) -> None:
        """Disk latency is part of a leader's liveness. A candidate of which nothing becomes durable
        would only disturb: it wins pre-votes, raises its term each time, and deposes with it whom
        the others elect."""
        self.raft.disk_answers = not self.disk_is_late
        if self.disk_is_late:
            self.raft.step_down()

    def govern(self, known: Mapping[NodeId, int]) -> None:
        """Once a tick, with the level that each member knows whose greeting still holds."""
        if self.is_leader:
            self.governor.govern(self.machine, known)

    def propose(self, body: bytes) -> bool:
        """A leader's. False: it is to be tried again later."""
        return self.offers.propose(body)

    def stalled(self, ticks: float) -> None:
        """Instead of `tick`, when the loop or the process stood still for so long: what waits in
        the sockets is heard before any timer runs out. A leader that was silent for an election
        timeout gives up; others have every reason to have replaced it."""
        self.gateway.tick(led=self.raft.leader != NONE)
        if ticks >= self.raft.config.election_ticks and len(self.raft.voters) > 1:
            self.raft.step_down()

    def receive(self, sender: NodeId, message: PeerMessage) -> None:
        if isinstance(message, Forward):
            self.offers.forwarded(sender, message)
        elif isinstance(message, NotTaken):
            self.offers.not_taken(message)
        elif isinstance(message, ReadRequest):
            self._late_reads.ask(lambda: self.raft.step(sender, message))
        elif isinstance(message, ClockAsk | ClockAnswer):
            self.time_entries.receive(sender, message, leads=self.is_leader)
        else:
            self._step(sender, message)

    def _step(self, sender: NodeId, message: Message) -> None:
        """Raft's own messages."""
        raft = self.raft
        if isinstance(message, AppendResponse | HeartbeatResponse):
            if raft.leadership is not None and message.term == raft.term:
                self.group_room.answered(sender, message.disk)
        elif isinstance(message, Append) and message.entries:
            self._step_append(sender, message)
            return
        raft.step(sender, message)

    def _step_append(self, sender: NodeId, message: Append) -> None:
        admitted = self.room.admitted(message) if self.room.full else message
        if admitted is not None:
            self.raft.step(sender, admitted)
            if admitted.term == self.raft.term:
                self.time_entries.note_stamp(admitted.entries)

    def room_left(self, room: int | None, relief: int = 0) -> None:
        """What the disk can still take, less what is on its way there; None when there is plenty.
        `relief`: what more it takes of what makes the state smaller."""
        self.room.set(room, relief, self.jobs.unwritten() if room is not None else ())

    def take_relieved(self) -> bool:
        """Whether counters went since the last call while the disk was full: a snapshot is smaller
        now."""
        found, self._relieved = self._relieved, False
        return found

    def link_lost(self, node: NodeId) -> None:
        """Messages to or from `node` may have been lost."""
        self.offers.link_changed(node)
        self.raft.leader_link_lost(node)
        self.unreachable(node)

    def link_up(self, node: NodeId) -> None:
        """A link was made: what was sent before may not have arrived."""
        self.offers.link_changed(node)
        self.unreachable(node)

    def snapshot_gone(self, node: NodeId) -> None:
        """The snapshot that is being sent to `node` is not on disk any more."""
        if self.raft.leadership is not None:
            self.raft.leadership.snapshot_gone(node)

    def unreachable(self, node: NodeId) -> None:
        if self.raft.leadership is not None:
            self.raft.leadership.unreachable(node)

    def submit_write(self, token: Token, ops: list[Op], *, mixed: bool = False) -> None:
        self._admission.write(token, ops, self.machine.level, mixed=mixed)

    def submit_read(self, token: Token, ops: list[Op]) -> None:
        self._admission.read(token, ops)

    # --- the turn ---------------------------------------------------------------------------------

    def turn(self) -> Turn:
        raft, gateway, applying = self.raft, self.gateway, self.applying
        if raft.to_restore is not None:
            applying.restore_some()
        machine = applying.machine
        if gateway.leader_is_lost and raft.leader != NONE:
            gateway.leader_found()
        self.offers.in_vain = False
        if not (gateway.wants_nothing or self.disk_failed):
            self._offer()
        # Where nobody waits for what is committed, it is applied after the leader was served: an
        # acknowledgement is not to wait for it. For two turns at most, that of a write and that of
        # its acknowledgement.
        busy = applying.unfinished
        put_off = (
            busy
            and self._put_off < MOST_PUT_OFF
            and raft.leadership is None
            and gateway.nobody_waits
        )
        if not put_off:
            self._put_off = 0
            if busy:
                self._apply()
        if machine.backlog and self.is_leader:
            self.time_entries.clear_away()
        if self._late_reads.waiting:
            self._late_reads.turn()
        if raft.reads or gateway.reads.asked or applying.reads_wait:
            applying.answer_reads()
        if machine.untidy:
            machine.tidy()
        job = self.jobs.next() if not self.writing else None
        messages, self._messages = self._messages, []
        messages += raft.take_messages()
        if self.room.full:
            self.group_room.add_reports(messages)
        if put_off:
            if job is None and not messages:
                self._apply()
            else:
                self._put_off += 1
        replies, gateway.replies = gateway.replies, []
        return Turn(messages, job, replies, bool(replies) and gateway.can_send)

    def take_released(self) -> list[tuple[NodeId, PeerMessage]]:
        """What waited for the disk, and what goes to the leader of a batch; for a driver that does
        not want to wait for the next turn."""
        found, self._messages = self._messages, []
        if self.room.full:
            self.group_room.add_reports(found)
        return found

    @property
    def turn_would_do_nothing(self) -> bool:
        """Of a leader, after an acknowledgement came or a job is durable: a turn would find nothing
        to do. (Whatever else comes wakes the driver by itself.)"""
        waits = (
            self._late_reads.held or self.offers.in_vain or self._messages or self.gateway.replies
        )
        return (
            self.raft.has_nothing_to_do
            and self.jobs.marker is None
            and not (
                self.applying.unfinished or waits or self.gateway.can_send or self.machine.backlog
            )
        )

    @property
    def behind(self) -> int:
        """Entries that are committed and not applied yet."""
        return self.raft.log.committed - self.applied

    def _offer(self) -> None:
        """Hand the gateway's batch and its read to the leader, which may be this node."""
        route, reads = self.offers.route, self.gateway.reads
        self.offers.offer(route)
        if reads.wanted:
            read_id = reads.to_ask(route)
            if read_id is not None:
                self._late_reads.ask(lambda: self.raft.read(read_id))

    def _apply(self) -> None:
        before = len(self.machine.values) if self.room.full else 0
        self.applying.apply()
        self._relieved = self._relieved or len(self.machine.values) < before

    # --- the disk ---------------------------------------------------------------------------------

    def persisted(self, job: DiskJob, *, no_room: bool = False) -> int | None:
        """`job` is durable, but for the file of its snapshot when there was no room for it. Returns
        the first index that the log on disk must keep, when older ones may go."""
        return self.jobs.persisted(job, no_room=no_room, full=self.room.full)

    def take_snapshot(self) -> Snapshot:
        """The state now. Its file is to be saved, then `snapshot_saved` called."""
        self.applying.restore()
        return Snapshot(self._meta(), self.machine.snapshot())

    def begin_snapshot(self) -> tuple[SnapshotMeta, Dump]:
        """The same in pieces, so that a large state stops no turn: the dump's `step` until it is
        done, and turns in between."""
        self.applying.restore()  # what was adopted since the last turn is what `_meta` speaks of
        return self._meta(), self.machine.dump()

    def _meta(self) -> SnapshotMeta:
        return SnapshotMeta(self.applied, self.applying.term, self.raft.membership)

    def snapshot_saved(self, meta: SnapshotMeta) -> None:
        """The file is durable; the log names it in the next job, and from then on it counts."""
        self.jobs.snapshot_saved(meta)

    @property
    def waits_to_be_joined(self) -> bool:
        return not self.raft.membership.members and self.raft.leader == NONE
