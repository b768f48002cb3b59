"""One node without its sockets and disk: Raft core, state machine and gateway joined. Pure, so that
the simulator runs exactly what production runs.

The driver (node/, or the simulator) feeds `tick`, `receive`, `submit_write`, `submit_read`; then
calls `turn` once per turn of its loop, sends the messages, delivers the replies, and writes the
disk job if there is one. At most one job is being written at a time; when it is durable the driver
calls `persisted`. Everything that came in meanwhile is in the next job: that is the group commit.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from counter_node.counters import batches
from counter_node.counters.dump import Dump
from counter_node.counters.execution import Reading
from counter_node.counters.history import RECOVERED, History
from counter_node.counters.levels import (
    BYTES_LEVEL,
    HISTORY_LEVEL,
    LEVEL,
    LIMITS_LEVEL,
    OWNERS_LEVEL,
    TIME_LEVEL,
    USERS_LEVEL,
    lowered,
    too_new,
)
from counter_node.counters.machine import Machine, Restoring
from counter_node.counters.ops import CONSTANT, is_write
from counter_node.counters.replies import Failure, pack
from counter_node.raft.core import Persist, Raft
from counter_node.raft.leadership import Busy
from counter_node.raft.lease import Promise
from counter_node.raft.membership import ChangeRefused
from counter_node.raft.messages import Append, InstallSnapshot, Message, ReadRequest
from counter_node.raft.state import Config, Role
from counter_node.raft.types import (
    NONE,
    Entry,
    EntryKind,
    HardState,
    Member,
    Membership,
    MembershipChange,
    NodeId,
    Removal,
    Snapshot,
    SnapshotMeta,
)
from counter_node.replica.gateway import Gateway, Op, Reads, Token
from counter_node.replica.log_time import ClockAsk, ClockTell, LogTime, Note
from counter_node.replica.relief import (
    LAST_PART,
    Relief,
    empties,
    entries_shrink,
    relief_of,
    shrinks,
)
from counter_node.replica.tail import Tail
from counter_node.replica.timekeeper import Timekeeper

MAX_APPLY_BYTES = 256 << 10
"""Log bytes taken to be applied at once."""
MAX_APPLY_WORK = 1_500
"""Work of the state machine in one turn (Machine.spent), some 3 ms, and one slice more at most:
neither catching up nor one heavy command starves heartbeats."""
LOG_TIME_STEP_MS = 1_000
"""While counters with an expiry exist, the time in the log is never older than this, though nobody
writes."""
FULL_DISK_STEP_MS = 60_000
"""On a full disk log time moves on no more often than this for what is due."""
TICK_BYTES = 128
"""On the disk, at most."""
ENTRY_WORK = 4
"""What an entry takes beside its commands."""
MOST_PUT_OFF = 2
"""Turns for which a follower may put off applying."""
ENTRY_BYTES = 64
"""At most what an entry takes on the disk beyond its data."""
SAVE_AGAIN_TICKS = 50
"""After a received snapshot found no room on the disk."""
DISK_FULL = Failure(
    b"MISCONF the disk of this node is nearly full; the command was not executed. Make room on "
    b"the volume, delete counters, or ask another node"
)
NOT_EVEN_DELETIONS = Failure(
    b"MISCONF the disk of this node is nearly full, also for deletions; the command was not "
    b"executed. Make room on the volume, ask another node, or send FLUSHALL: that still finds room"
)
DISK_FAILED = Failure(
    b"MISCONF the disk of this node failed; the command was not executed. Ask another node; this "
    b"one's log says what failed"
)
DISK_FAILED_UNKNOWN = Failure(
    b"UNKNOWN the disk of this node failed before the reply came; the command may or may not be "
    b"executed. Ask another node"
)


NOT_WITH_IT = Failure(
    b"ERR not executed, as a command of the same pipeline needs nodes that are all upgraded; "
    b"send it again without that one"
)


class Forward(msgspec.Struct, array_like=True, tag=20, frozen=True, gc=False):
    """A gateway's batch on its way to the leader. Unanswered on purpose: the gateway learns its
    fate from the log."""

    body: bytes


PeerMessage = Message | Forward | ClockAsk | ClockTell


class DiskJob(msgspec.Struct, frozen=True):
    """One unit for the disk, in this order: the snapshot file if any, then hard state, entries and
    snapshot marker in one write, then one sync. A file that finds no room is left out, and
    `persisted` is told so."""

    hard_state: HardState | None
    entries: list[Entry]
    install: (
        Snapshot | None
    )  # received from the leader; only when its file is saved is it used for anything
    marker: (
        SnapshotMeta | None
    )  # a snapshot whose file is saved already: from here on it is in force
    after: list[tuple[NodeId, Message]]

    @property
    def writes(self) -> bool:
        return self.hard_state is not None or bool(self.entries) or self.marker is not None


class Turn(msgspec.Struct, frozen=True):
    messages: list[tuple[NodeId, PeerMessage]]
    job: DiskJob | None
    replies: list[tuple[Token, list[Any]]]
    gathered: bool
    """Something was answered, and what was gathered meanwhile can go now. The clients that were
    answered are likely to send more in a moment: it is well to wait for that, but not for long, as
    nothing else may come."""


def first_snapshot(node: Member, machine: Machine | None = None, *, began_ms: int = 0) -> Snapshot:
    """What a new cluster starts from: one voter and no counters; log time begins with `began_ms`.
    Everyone who joins gets the configuration by a snapshot."""
    return Snapshot(
        SnapshotMeta(1, 1, Membership((node,))), (machine or Machine(began_ms=began_ms)).snapshot()
    )


class Replica:
    def __init__(
        self,
        config: Config,
        hard_state: HardState,
        snapshot: Snapshot | None,
        entries: list[Entry],
        *,
        gateway: Gateway,
        clock_ms: Callable[[], int],
        randint: Callable[[int, int], int],
        promise: Promise | None = None,
        knows: int = LEVEL,
        limits: batches.Limits | None = None,
        max_bytes: int | None = None,
        user_limits: tuple[batches.LimitsRow, ...] | None = None,
        running_ms: Callable[[], float] | None = None,
        note: Note | None = None,
        second_note: bool = False,
        synchronised: Callable[[], bool] = lambda: False,
    ) -> None:
        """`knows`: the level of this version. `limits`, `max_bytes`, `user_limits`: what this node,
        when it leads, wants in force; None: whatever is. `clock_ms`: the wall's time. `running_ms`:
        a clock that nobody sets and that goes on while the machine sleeps; by default the same.
        `note`: log time as this node knows it; `second_note`: by its disk, so that others may know
        better. `synchronised`: whether the kernel says that somebody keeps the wall's time
        right."""
        meta = snapshot.meta if snapshot is not None else SnapshotMeta()
        self.raft = Raft(config, hard_state, meta, entries, randint, promise)
        self.raft.snapshot_taken(meta)
        self.knows = knows
        self.machine = (
            Machine.restore(snapshot.state, knows) if snapshot is not None else Machine(knows=knows)
        )
        self.gateway = gateway
        self.applied_term = meta.term
        self.on_applied: Callable[[Entry], None] | None = (
            None  # for who waits for an index (administration)
        )
        self.disk_room: int | None = None  # bytes that the disk can still take; None: plenty
        self._relief_room = 0  # bytes that it takes besides of what makes the state smaller
        self._relief_kept = 0  # of these, bytes that log time leaves alone
        self._relief_last = 0  # of these, bytes that a leader leaves to what empties the state
        self._relieved = False
        self.disk_failed = False
        self.time = LogTime(
            clock_ms, running_ms or clock_ms, lambda: self.machine, note, second=second_note
        )
        self.keeper = Timekeeper(self.raft.id, self.time, synchronised)
        self._led_term = self._led_ticks = 0  # of the term that the timekeeper leads
        self._offered_in_vain = False  # the gateway's batch or session, in the last turn
        self._time_governed = (0, 0)  # term and index of the last Jump or Calendar
        self._randint = randint
        self._job: DiskJob | None = None
        self._job_ticks = 0
        self._limits = limits
        self._max_bytes = max_bytes
        self.user_limits = user_limits
        self._taken: list[Entry] = []  # from the log, to be applied, newest first
        self._restoring: tuple[Snapshot, Restoring] | None = None
        self._reading: tuple[Reads, Reading] | None = None
        self._queued_reads: list[Reads] = []  # whose index is applied
        self._governed = (0, 0)  # term and index of the last Level or Limits
        self._time_proposed = (0, 0)  # term and index of the last Tick
        self._held_reads: list[
            tuple[int, Callable[[], object]]
        ] = []  # until log time is known after a full stop: term, and how to ask
        self._late_reads: list[
            tuple[int, int, Callable[[], object]]
        ] = []  # term and index that each waits for, and how to ask it
        self._marker: SnapshotMeta | None = None
        self._tick = 0
        self._no_room = False  # for the received snapshot that was tried last
        self._save_at = 0  # tick before which it is not tried again
        self._link_changes: Counter[NodeId] = Counter()
        self._tail = Tail()
        self._put_off = 0  # turns
        self._messages: list[tuple[NodeId, PeerMessage]] = []

    # --- state in words ---------------------------------------------------------------------------

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
    def writing(self) -> bool:
        """A disk job is under way."""
        return self._job is not None

    @property
    def disk_is_late(self) -> bool:
        """This node cannot vote, acknowledge or lead: its disk failed, or the job under way has
        taken an election timeout."""
        return self.disk_failed or (
            self._job is not None and self._job_ticks >= self.raft.config.election_ticks
        )

    def role_name(self) -> str:
        raft = self.raft
        if not raft.membership.members:
            return "waiting"
        if raft.id in raft.membership.removed:
            return "removed"
        return (
            str(raft.role) if self.is_voter else "learner"
        )  # also while the entry that adds this node is still on its way

    # --- what the driver puts in ------------------------------------------------------------------

    def tick(self) -> None:
        self._tick += 1
        if self._job is not None:
            self._job_ticks += 1
        self._mind_disk()
        self.machine.shrink()
        self.raft.tick()
        self.gateway.tick(led=self.raft.leader != NONE)
        self.keeper.tick()
        if self.is_leader:
            self._govern_time()
            self._keep_time()

    def fail_disk(self) -> None:
        """Final: the disk takes nothing any more, so nothing can be acknowledged to a leader, and
        nothing new is learnt from it. Clients are told at once, since others serve."""
        if not self.disk_failed:
            self.disk_failed = True
            self.gateway.give_up(DISK_FAILED, DISK_FAILED_UNKNOWN)
            self._mind_disk()

    def _mind_disk(self) -> None:
        """Disk latency is part of a leader's liveness. A candidate of which nothing becomes durable
        would only disturb: it wins pre-votes, raises its term each time, and deposes with it whom
        the others elect."""
        self.raft.disk_answers = not self.disk_is_late
        if self.disk_is_late:
            self.raft.step_down()

    def _keep_time(self) -> None:
        """Time stands still in the log while nobody writes; counters expire, and TTLs count down,
        all the same."""
        due, raft = self.machine.next_expiry_ms(), self.raft
        if due is None or self._time_is_under_way():
            return
        now = self._log_time().stamp()
        wanted = due <= now or (
            now - self.machine.time_ms >= LOG_TIME_STEP_MS and self.disk_room is None
        )
        if wanted and self._propose_tick():
            self._time_proposed = (raft.term, raft.log.last_index)

    # Log time. A leader's term begins for the timekeeper with its first stamp or tick.

    def _log_time(self) -> LogTime:
        """A leader's."""
        if self._led_term != self.raft.term:
            self._led_term, self._led_ticks = self.raft.term, 0
            self.keeper.lead()
            self.keeper.search(self.raft.voters, over=False)
        return self.time

    def _propose(self, body: bytes, origin: NodeId = NONE) -> bool:
        """A leader's. False: it is to be tried again later. A gateway's body that is in the log
        already counts as proposed."""
        raft, leadership = self.raft, self.raft.leadership
        if leadership is None or self._time_is_looked_for():
            return False
        there = self._tail.index_of(raft, body, self.machine.last_number)
        if there is not None:
            leadership.wanted(origin, there)
            return True
        if not self._has_room(body):
            return False
        if not raft.propose(batches.stamp(self.time.stamp(), body), origin):
            return False
        self._takes_room(len(body) + ENTRY_BYTES)
        self._tail.appended(raft, body)
        return True

    def _govern_time(self) -> None:
        """A leader's, once a tick: ask for clocks, put into the log what they say, hand over when
        one's own runs off."""
        self._log_time()
        keeper, raft, machine = self.keeper, self.raft, self.machine
        self._led_ticks += 1
        if machine.level < TIME_LEVEL:
            return
        keeper.search(raft.voters, over=self._led_ticks >= raft.config.election_ticks)
        ask = keeper.ask(raft.term, machine)
        if ask is not None:
            self._messages += [(m.id, ask) for m in raft.membership.members if m.id != raft.id]
        if self.applied_term == raft.term and (
            self._time_governed[0] != raft.term or self._time_governed[1] <= self.applied
        ):
            body = keeper.decide(raft.voters, machine)
            if body is not None:
                self.propose_time(body)
        self._hand_over_runaway()

    def propose_time(self, body: batches.Jump | batches.Calendar) -> int | None:
        """A leader's: the index of its entry, None when it cannot be proposed now. A full disk
        takes a jump: before the mark of a gap nothing else is stamped, so nothing could be
        deleted."""
        data = batches.encode(body)
        size = len(data) + ENTRY_BYTES
        if size > self._room(
            Relief.EMPTY if type(body) is batches.Jump else Relief.NONE
        ) or not self.raft.propose(batches.stamp(self._log_time().stamp(), data)):
            return None
        self._takes_room(size)
        self._time_governed = (self.raft.term, self.raft.log.last_index)
        return self.raft.log.last_index

    def _hand_over_runaway(self) -> None:
        leadership = self.raft.leadership
        if (
            leadership is None
            or self._led_ticks % self.raft.config.election_ticks
            or not (off := self.keeper.runs_off(self.raft.voters))
        ):
            return
        with contextlib.suppress(Busy, ChangeRefused):
            leadership.transfer(max(off, key=lambda n: (leadership.progress[n].match, n)))

    def _clock_message(self, sender: NodeId, message: ClockAsk | ClockTell) -> None:
        raft = self.raft
        if isinstance(message, ClockTell):
            if self.is_leader:
                self.keeper.told(
                    sender, message, voter=sender in raft.voters and message.log_term == raft.term
                )
            return
        leads = sender == raft.leader and message.term == raft.term and not self.is_leader
        self._messages.append(
            (sender, self.keeper.answer(message, raft.log.last_term, from_leader=leads))
        )

    def _time_is_looked_for(self) -> bool:
        """A leader after a full stop does not know yet what has expired: it waits for two election
        timeouts at most. One that has no note, and has not asked everybody, stamps nothing."""
        self._log_time()
        if self.keeper.looking:
            return True
        machine = self.machine
        return (
            machine.gap
            and bool(machine.deadlines)
            and self._led_ticks < 2 * self.raft.config.election_ticks
        )

    def _time_is_under_way(self) -> bool:
        return self._time_proposed[0] == self.raft.term and self._time_proposed[1] > self.applied

    def _clear_away(self) -> None:
        """What is due and not removed goes with the next entries (counters/state.py): one at a
        time, so that clients' come in between."""
        if not self._time_is_under_way() and self._propose_tick():
            self._time_proposed = (self.raft.term, self.raft.log.last_index)

    def _propose_tick(self) -> bool:
        """A leader's. On a full disk seldom, as each takes of the room that deletions need, and
        leaves them half of it: counters expire late there, by `FULL_DISK_STEP_MS`, rather than that
        nothing can be deleted after some hours of ticks."""
        if self.disk_room is not None:
            late_ms = self._log_time().stamp() - self.machine.time_ms
            few = self.disk_room + self._relief_room - TICK_BYTES < self._relief_kept
            if not self.machine.backlog and (late_ms < FULL_DISK_STEP_MS or few):
                return False
        return self._propose(batches.encode_tick())

    def govern(self, known: Mapping[NodeId, int]) -> None:
        """Once a tick, with the level that each member knows whose greeting still holds. The leader
        raises the cluster's level to what all of them know, and puts its limits in force."""
        raft, machine = self.raft, self.machine
        if not self.is_leader or (
            self._governed[0] == raft.term and self._governed[1] > self.applied
        ):
            return
        common = min(
            self.knows if m.id == raft.id else known.get(m.id, 0) for m in raft.membership.members
        )
        body = b""
        if common > machine.level:
            body = batches.encode(batches.Level(common))
        elif machine.level >= HISTORY_LEVEL and not machine.lineage:
            body = batches.encode(batches.Begin(f"{self._randint(0, (1 << 64) - 1):016x}"))
        elif machine.level >= LIMITS_LEVEL and self._limits not in (None, machine.limits):
            body = batches.encode(self._limits)
        elif machine.level >= BYTES_LEVEL and self._max_bytes not in (None, machine.max_bytes):
            body = batches.encode(batches.Bytes(self._max_bytes or 0))
        elif machine.level >= USERS_LEVEL and self.user_limits not in (None, machine.user_limits):
            body = batches.encode(batches.UserLimits(self.user_limits or ()))
        if body and self._propose(body):
            self._governed = (raft.term, raft.log.last_index)

    def stalled(self, ticks: float) -> None:
        """Instead of `tick`, when the loop or the process stood still for so long: what waits in
        the sockets is heard before any timer runs out. A leader that was silent for an election
        timeout gives up; others have every reason to have replaced it."""
        self.gateway.tick(led=self.raft.leader != NONE)
        if ticks >= self.raft.config.election_ticks and len(self.raft.voters) > 1:
            self.raft.step_down()

    def receive(self, sender: NodeId, message: PeerMessage) -> None:
        if isinstance(message, Forward):
            # Who was removed hears nothing of the log any more, and would send its last batch for
            # ever.
            if self.raft.membership.get(sender) is not None:
                self._propose(message.body, sender)
        elif isinstance(message, ReadRequest):
            self._read(lambda: self.raft.step(sender, message))
        elif isinstance(message, ClockAsk | ClockTell):
            self._clock_message(sender, message)
        elif self.disk_room is None or self._finds_room(message):
            self.raft.step(sender, message)
            if isinstance(message, Append) and message.entries and message.term == self.raft.term:
                self._note_stamp(message.entries)

    def _read(self, ask: Callable[[], object]) -> None:
        """A counter past its deadline is not read any more: while one is due, the leader puts the
        time into the log, and the read comes after it. (Writes carry their time with them.) What
        waits here when leadership ends is asked again by its gateway."""
        if self.is_leader and self._time_is_looked_for():
            self._held_reads.append((self.raft.term, ask))
            return
        due, raft = self.machine.next_expiry_ms(), self.raft
        late = self.is_leader and due is not None and due <= self._log_time().stamp()
        if late and self._propose_tick():
            self._time_proposed = (raft.term, raft.log.last_index)
            self._late_reads.append((*self._time_proposed, ask))
        else:
            ask()

    def _note_stamp(self, entries: list[Entry]) -> None:
        """What a leader of an earlier term stamped is no note: it may be from before a full stop.
        Nor is an older note of use then, as it may be of another line: the leader of this term will
        tell."""
        for entry in reversed(entries):
            if entry.kind is EntryKind.DATA:
                if entry.term == self.raft.term:
                    self.time.heard(int.from_bytes(entry.data[: batches.TIME_BYTES], "big"))
                else:
                    self.time.note = None
                return

    def _ask_held_reads(self) -> None:
        if self.is_leader and self._time_is_looked_for():
            return
        held, self._held_reads = self._held_reads, []
        for term, ask in held:
            if self.is_leader and term == self.raft.term:
                self._read(ask)

    def _ask_late_reads(self) -> None:
        waiting, self._late_reads = self._late_reads, []
        for term, index, ask in waiting:
            if not self.is_leader or term != self.raft.term:
                continue
            if index <= self.applied:
                ask()
            else:
                self._late_reads.append((term, index, ask))

    # A full disk, before it is full. Without the reserve of one segment this node refuses its
    # clients' writes, hands leadership away (node/), and takes what others send only as long as
    # it fits into the current segment, so that no write ever fails. The last eighth of it is kept
    # for terms and votes, and half of that for what makes the state smaller (relief.py): the node
    # stays a voter that answers, and catches up when there is room.

    def _finds_room(self, message: Message) -> bool:
        """A message that is dropped was lost on the way, as far as Raft is concerned."""
        if not isinstance(message, Append) or not message.entries:
            return not isinstance(message, InstallSnapshot)
        size = ENTRY_BYTES + sum(len(entry.data) + ENTRY_BYTES for entry in message.entries)
        if size > self._room(Relief.NONE) and (
            size > self._room(Relief.EMPTY) or not entries_shrink(message.entries, *self._now())
        ):
            return False
        self._takes_room(size)
        return True

    def _has_room(self, body: bytes) -> bool:
        """For the entry of this body. It is decoded only when it would not fit otherwise."""
        size = len(body) + ENTRY_BYTES
        return size <= self._room(Relief.NONE) or (
            size <= self._room(Relief.EMPTY) and size <= self._room(relief_of(body, *self._now()))
        )

    def _room(self, relief: Relief) -> int:
        """Bytes that the disk can still take of what is of so much use to it."""
        if self.disk_room is None:
            return sys.maxsize
        if relief is Relief.NONE:
            return self.disk_room
        return (
            self.disk_room
            + self._relief_room
            - (self._relief_last if relief is Relief.SMALLER else 0)
        )

    def _takes_room(self, size: int) -> None:
        if self.disk_room is not None:
            beyond = max(0, size - self.disk_room)
            self.disk_room -= size - beyond
            self._relief_room -= beyond

    def _now(self) -> tuple[int, int]:
        """Log time and the calendar, as far as what is applied says."""
        machine = self.machine
        return machine.time_ms, machine.time_ms + machine.offset_ms

    def room_left(self, room: int | None, relief: int = 0) -> None:
        """What the disk can still take, less what is on its way there; None when there is plenty.
        `relief`: what it takes besides of what makes the state smaller."""
        self._relief_kept, self._relief_last = relief // 2, relief // LAST_PART
        if room is not None:
            log = self.raft.log
            unwritten = log.entries[log.unstable - log.offset - 1 :] + (
                self._job.entries if self._job is not None else []
            )
            left = room + relief - sum(len(entry.data) + ENTRY_BYTES for entry in unwritten)
            room, relief = max(0, left - relief), max(0, min(relief, left))
        self.disk_room, self._relief_room = room, relief

    def take_relieved(self) -> bool:
        """Whether counters went since the last call while the disk was full: a snapshot is smaller
        now."""
        found, self._relieved = self._relieved, False
        return found

    def link_lost(self, node: NodeId) -> None:
        """Messages to or from `node` may have been lost."""
        self._link_changes[node] += 1
        self.raft.leader_link_lost(node)
        self.unreachable(node)

    def link_up(self, node: NodeId) -> None:
        """A link was made: what was sent before may not have arrived."""
        self._link_changes[node] += 1
        self.unreachable(node)

    def snapshot_gone(self, node: NodeId) -> None:
        """The snapshot that is being sent to `node` is not on disk any more."""
        if self.raft.leadership is not None:
            self.raft.leadership.snapshot_gone(node)

    def unreachable(self, node: NodeId) -> None:
        if self.raft.leadership is not None:
            self.raft.leadership.unreachable(node)

    def submit_write(self, token: Token, ops: list[Op], *, mixed: bool = False) -> None:
        if self.disk_failed:
            self.gateway.replies.append((token, [DISK_FAILED] * len(ops)))
        elif self.disk_room is not None:
            self._write_on_full_disk(token, ops)
        elif (
            self.machine.level < OWNERS_LEVEL
            and (older := [lowered(op, self.machine.level) for op in ops]) != ops
        ):
            self.submit_write(token, older, mixed=mixed)
        elif self.machine.level < self.knows and any(
            refused := [too_new(op, self.machine.level) for op in ops]
        ):
            self.gateway.replies.append((token, [reason or NOT_WITH_IT for reason in refused]))
        else:
            self.gateway.write(token, ops, mixed=mixed)

    def _write_on_full_disk(self, token: Token, ops: list[Op]) -> None:
        """Only what makes the state smaller goes on; the refusals of the others take their places
        among its replies."""
        now = self._now()
        taken = [
            lowered(op, self.machine.level) if shrinks(op, *now) else [CONSTANT, pack(DISK_FULL)]
            for op in ops
        ]
        if any(is_write(op) for op in taken):
            self.gateway.write(token, taken, mixed=True)
        else:
            self.gateway.replies.append((token, [DISK_FULL] * len(ops)))

    def submit_read(self, token: Token, ops: list[Op]) -> None:
        if self.disk_failed:
            self.gateway.replies.append((token, [DISK_FAILED] * len(ops)))
        else:
            self.gateway.read(token, ops)

    # --- the turn ---------------------------------------------------------------------------------

    def turn(self) -> Turn:
        raft, gateway = self.raft, self.gateway
        if raft.to_restore is not None:
            self._restore_some()
        if gateway.lost and raft.leader != NONE:
            gateway.leader_found()
        self._offered_in_vain = False
        if not (gateway.quiet or self.disk_failed):
            self._offer()
        # Where nobody waits for what is committed, it is applied after the leader was served: an
        # acknowledgement is not to wait for it. For two turns at most, that of a write and that of
        # its acknowledgement.
        busy = self.busy
        put_off = busy and self._put_off < MOST_PUT_OFF and raft.leadership is None and gateway.idle
        if not put_off:
            self._put_off = 0
            if busy:
                self._apply()
        if self.machine.backlog and self.is_leader:
            self._clear_away()
        if self._held_reads:
            self._ask_held_reads()
        if self._late_reads:
            self._ask_late_reads()
        if raft.reads or gateway.asked or self.reads_wait:
            self._answer_reads()
        if self.machine.untidy:
            self.machine.tidy()
        job = self._next_job() if self._job is None else None
        messages, self._messages = self._messages, []
        messages += raft.take_messages()
        if put_off:
            if job is None and not messages:
                self._apply()
            else:
                self._put_off += 1
        replies, gateway.replies = gateway.replies, []
        return Turn(messages, job, replies, bool(replies) and gateway.waits)

    def take_released(self) -> list[tuple[NodeId, PeerMessage]]:
        """What waited for the disk, and what goes to the leader of a batch; for a driver that does
        not want to wait for the next turn."""
        found, self._messages = self._messages, []
        return found

    @property
    def busy(self) -> bool:
        """Another turn has something to do at once: more is committed than one turn may apply, or
        read, or there is memory to give back."""
        log = self.raft.log
        return (
            log.handed < log.committed
            or bool(self._taken)
            or self.reads_wait
            or self._restoring is not None
            or self.machine.untidy
        )

    @property
    def reads_wait(self) -> bool:
        """Reads whose index is applied are not all answered."""
        return self._reading is not None or bool(self._queued_reads)

    @property
    def whole(self) -> bool:
        """The state is that of `applied`; no entry is applied in part, and no snapshot is being put
        in force."""
        return not self.machine.unfinished and self._restoring is None

    @property
    def restoring(self) -> bool:
        """A received snapshot is being put in force: `applied` names it already, and nothing is
        answered yet."""
        return self._restoring is not None or self.raft.to_restore is not None

    @property
    def settled(self) -> bool:
        """Of a leader, after an acknowledgement came or a job is durable: a turn would find nothing
        to do. (Whatever else comes wakes the driver by itself.)"""
        waits = self._held_reads or self._offered_in_vain or self._messages or self.gateway.replies
        return (
            self.raft.settled
            and self._marker is None
            and not (self.busy or waits or self.gateway.waits or self.machine.backlog)
        )

    @property
    def behind(self) -> int:
        """Entries that are committed and not applied yet."""
        return self.raft.log.committed - self.applied

    def _restore_some(self) -> None:
        """A slice of the work to put a received snapshot in force. Until it is done nothing is
        applied and nothing is read here."""
        snapshot = self.raft.to_restore
        assert snapshot is not None
        if self._restoring is None or self._restoring[0] is not snapshot:
            self.machine.abandon()
            if self._restoring is not None:
                self._restoring[1].close()
            self._restoring = snapshot, Machine.restoring(snapshot.state, self.knows)
            self._taken.clear()
        restoring = self._restoring[1]
        if restoring.step():
            self._restored(snapshot, restoring.machine)

    def _restore(self) -> None:
        """All of it, if there is one."""
        while self.raft.to_restore is not None:
            self._restore_some()

    def _restored(self, snapshot: Snapshot, machine: Machine) -> None:
        self.raft.take_restore()
        self._restoring = None
        machine.inherit(self.machine)
        if machine.marks != self.machine.marks:
            self.time.note = None  # from before the mark of a gap
        self.machine = machine
        self.applied_term = snapshot.meta.term
        session = self.gateway.session
        self.gateway.restored(None if session is None else machine.last_number(session))
        if self._reading is not None:  # what is read is read anew
            self._reading = self._reading[0], machine.reading(self._reading[0].ops)

    def _offer(self) -> None:
        """Hand the gateway's batch and its read to the leader, which may be this node."""
        raft, gateway = self.raft, self.gateway
        route = (raft.leader, raft.term, self._link_changes[raft.leader])
        gateway.level = self.machine.level
        body = gateway.proposal(route)
        if body is not None:
            if raft.leadership is None and (gateway.sent_before or self._has_room(body)):
                self._messages.append((raft.leader, Forward(body)))
            elif raft.leadership is None or not self._propose(body):
                self._offered_in_vain = True
                gateway.not_sent(
                    None if self._has_room(body) else NOT_EVEN_DELETIONS, but_not=empties
                )
        if gateway.reads.ops or gateway.asked:
            read_id = gateway.read_to_ask(route)
            if read_id is not None:
                self._read(lambda: raft.read(read_id))

    def _apply(self) -> None:
        """As much as one turn may."""
        before = len(self.machine.values) if self.disk_room is not None else 0
        self._apply_some()
        self._relieved = self._relieved or len(self.machine.values) < before

    def _apply_some(self) -> None:
        if self._restoring is not None or (self._reading is not None and self._reading[1].atomic):
            return
        begun = self.machine.spent
        while self.machine.spent - begun < MAX_APPLY_WORK:
            if not self._taken:
                self._taken = self.raft.take_committed(MAX_APPLY_BYTES)[::-1]
                if not self._taken:
                    return
            if not self._apply_one(self._taken[-1]):
                return
            self._taken.pop()

    def _apply_one(self, entry: Entry) -> bool:
        """False when it is applied in part."""
        raft, machine = self.raft, self.machine
        if entry.kind is EntryKind.DATA:
            outcome = (
                machine.go_on()
                if machine.unfinished
                else machine.begin(entry.index, entry.data, self.gateway.substitute)
            )
            machine.spent += ENTRY_WORK
            if outcome is None:
                return False
            self.gateway.applied(outcome)
        elif entry.kind is EntryKind.CONFIG:
            raft.apply_change(
                msgspec.msgpack.decode(entry.data, type=MembershipChange), entry.term, entry.index
            )
        raft.applied_to(entry.index)
        self.applied_term = entry.term
        if self.on_applied is not None:
            self.on_applied(entry)
        return True

    def _answer_reads(self) -> None:
        """A group after the other, each in slices."""
        gateway = self.gateway
        for read_id, index in self.raft.take_reads():
            gateway.read_confirmed(read_id, index)
        if not self.whole:
            return
        if self._reading is None:
            for group in gateway.reads_due(self.applied):
                self._queued_reads.append(group)
        spent = 0
        while spent < MAX_APPLY_WORK and self.reads_wait:
            if self._reading is None:
                group = self._queued_reads.pop(0)
                self._reading = group, self.machine.reading(group.ops)
            group, reading = self._reading
            if not reading.step():
                return
            self._reading = None
            spent += reading.spent
            gateway.answer(group, reading.replies)

    # --- the disk ---------------------------------------------------------------------------------

    def _next_job(self) -> DiskJob | None:
        """Only when none is under way."""
        while True:
            install = self.raft.arrived if self._tick >= self._save_at else None
            persist = self.raft.take_persist()
            idle = self._marker is None and install is None
            if persist is None and idle:
                return None
            if persist is not None and persist.hard_state is None and idle:
                self._release(persist.after)  # all that these depend on is durable already
                continue
            self._job = self._join(persist, install)
            self._job_ticks = 0
            return self._job

    def _join(self, persist: Persist | None, install: Snapshot | None) -> DiskJob:
        marker, self._marker = self._marker, None
        if persist is None:
            return DiskJob(None, [], install, marker, [])
        if persist.snapshot is not None:
            marker = persist.snapshot  # adopted, so newer than any of our own
        elif marker is not None and persist.entries and persist.entries[0].index <= marker.index:
            self._marker, marker = (
                marker,
                None,
                # others committed what is not durable here yet: first the entries, in the next job
                # the marker
            )
        return DiskJob(persist.hard_state, persist.entries, install, marker, persist.after)

    @property
    def snapshot_waits(self) -> bool:
        """A received snapshot found no room on the disk; it is tried again."""
        return self._no_room and self.raft.arrived is not None

    def persisted(self, job: DiskJob, *, no_room: bool = False) -> int | None:
        """`job` is durable, but for the file of its snapshot when there was no room for it. Returns
        the first index that the log on disk must keep, when older ones may go: never one beyond the
        snapshot that is in force there."""
        assert job is self._job, "one disk job at a time"
        self._job = None
        self._release(job.after)
        raft, keep_from = self.raft, None
        if job.marker is not None and job.marker.index >= raft.log.offset:
            raft.snapshot_taken(job.marker, all_goes=self.disk_room is not None)
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
            if to == self.raft.id:
                self.raft.step(to, message)
            else:
                self._messages.append((to, message))

    def take_snapshot(self) -> Snapshot:
        """The state now. Its file is to be saved, then `snapshot_saved` called."""
        self._restore()
        return Snapshot(self._meta(), self.machine.snapshot())

    def sole_survivor(self, me: Member, history: str) -> Snapshot:
        """What this node would go on from alone: everything in its log, committed as far as it
        knows or not, since what was acknowledged may be among it; no member but itself; and as a
        history of its own, with this id, where the cluster's level has such. Nothing but a new
        start from it may follow."""
        raft = self.raft
        self._restore()
        self._reading = None  # nobody is answered any more
        raft.log.committed = raft.log.last_index
        while raft.log.handed < raft.log.committed or self._taken:
            self._apply()
        term, index = raft.term + 1, self.applied + 1
        gone = [m.id for m in raft.membership.members if m.id != me.id]
        removals = (*raft.membership.removals, *(Removal(i, term, index) for i in gone))
        alone = Membership((me,), (*raft.membership.removed, *gone), removals)
        if self.machine.level >= HISTORY_LEVEL:
            self.machine.begin_history(History(history, index, RECOVERED))
        return Snapshot(SnapshotMeta(index, term, alone), self.machine.snapshot())

    def begin_snapshot(self) -> tuple[SnapshotMeta, Dump]:
        """The same in pieces, so that a large state stops no turn: the dump's `step` until it is
        done, and turns in between."""
        self._restore()  # what was adopted since the last turn is what `_meta` speaks of
        return self._meta(), self.machine.dump()

    def _meta(self) -> SnapshotMeta:
        return SnapshotMeta(self.applied, self.applied_term, self.raft.membership)

    def snapshot_saved(self, meta: SnapshotMeta) -> None:
        """The file is durable; the log names it in the next job, and from then on it counts."""
        if meta.index > self.raft.snapshot.index:
            self._marker = meta

    @property
    def waits_to_be_joined(self) -> bool:
        return not self.raft.membership.members and self.raft.leader == NONE
