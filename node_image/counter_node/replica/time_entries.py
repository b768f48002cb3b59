"""The entries by which a leader moves log time: ticks, jumps and the calendar. Pure.

Writes carry their time with them. Where nobody writes, a tick does; after a full stop, or for the
calendar, the timekeeper says what is due. A leader's term begins for the timekeeper with its first
stamp or tick.
"""

from __future__ import annotations

import contextlib
from typing import Final, Protocol

from counter_node.counters import batches
from counter_node.counters.levels import TIME_LEVEL
from counter_node.counters.machine import Machine
from counter_node.raft.core import Raft
from counter_node.raft.fitness import Busy
from counter_node.raft.membership import ChangeRefused
from counter_node.raft.types import Entry, EntryKind, NodeId
from counter_node.replica.disk_room import body_on_disk
from counter_node.replica.group_room import GroupRoom
from counter_node.replica.log_time import ClockAnswer, ClockAsk, LogTime
from counter_node.replica.peer_messages import PeerMessage
from counter_node.replica.relief import Relief
from counter_node.replica.timekeeper import Timekeeper

LOG_TIME_STEP_MS: Final = 1_000
"""While counters with an expiry exist, the time in the log is never older than this, though nobody
writes."""
FULL_DISK_STEP_MS: Final = 60_000
"""On a full disk log time moves on no more often than this for what is due."""


class Applied(Protocol):
    """The replicated state as far as it is applied, and the term of its last entry."""

    machine: Machine
    term: int


class TimedNode(Protocol):
    """What is needed of the node."""

    raft: Raft
    group_room: GroupRoom
    time: LogTime
    keeper: Timekeeper

    @property
    def applying(self) -> Applied: ...

    def propose(self, body: bytes) -> bool: ...

    def send(self, to: NodeId, message: PeerMessage) -> None: ...


class TimeEntries:
    def __init__(self, node: TimedNode) -> None:
        self._raft, self._applied, self._room = node.raft, node.applying, node.group_room
        self._time, self._keeper = node.time, node.keeper
        self._propose, self._send = node.propose, node.send
        self._led_term = self._led_ticks = 0  # of the term that the timekeeper leads
        self._governed = (0, 0)  # term and index of the last Jump or Calendar
        self._ticked = (0, 0)  # term and index of the last Tick

    # --- a leader's -------------------------------------------------------------------------------

    def tick(self) -> None:
        """Once a tick: ask for clocks, put into the log what they say, hand over when one's own
        runs off, and move time on where nobody writes."""
        self._govern()
        self._keep()

    def stamp(self) -> int:
        return self._led().stamp()

    def _led(self) -> LogTime:
        if self._led_term != self._raft.term:
            self._led_term, self._led_ticks = self._raft.term, 0
            self._keeper.lead()
            self._keeper.search(self._raft.voters, over=False)
        return self._time

    def unknown(self) -> bool:
        """A leader after a full stop does not know yet what has expired: it waits for two election
        timeouts at most. One that has no note, and has not asked everybody, stamps nothing."""
        self._led()
        if self._keeper.looking:
            return True
        machine = self._applied.machine
        return (
            machine.gap
            and bool(machine.deadlines)
            and self._led_ticks < 2 * self._raft.config.election_ticks
        )

    def _govern(self) -> None:
        self._led()
        keeper, raft, machine = self._keeper, self._raft, self._applied.machine
        self._led_ticks += 1
        if machine.level < TIME_LEVEL:
            return
        keeper.search(raft.voters, over=self._led_ticks >= raft.config.election_ticks)
        ask = keeper.ask(raft.term, machine)
        if ask is not None:
            for member in raft.membership.members:
                if member.id != raft.id:
                    self._send(member.id, ask)
        if self._applied.term == raft.term and not self._under_way(self._governed):
            body = keeper.decide(raft.voters, machine)
            if body is not None:
                self.propose(body)
        self._hand_over_runaway()

    def _under_way(self, entry: tuple[int, int]) -> bool:
        """The entry of this term and index is proposed and not applied."""
        return entry[0] == self._raft.term and entry[1] > self._raft.log.applied

    def propose(self, body: batches.Jump | batches.Calendar) -> int | None:
        """The index of its entry, None when it cannot be proposed now. A full disk takes a jump:
        before the mark of a gap nothing else is stamped, so nothing could be deleted."""
        data = batches.encode(body)
        size = body_on_disk(data)
        relief = Relief.EMPTY if type(body) is batches.Jump else Relief.NONE
        if size > self._room.of(relief) or not self._raft.propose(
            batches.stamp(self.stamp(), data)
        ):
            return None
        self._room.take(size)
        self._governed = self._last()
        return self._raft.log.last_index

    def _last(self) -> tuple[int, int]:
        """Term and index of what was just proposed."""
        return self._raft.term, self._raft.log.last_index

    def _hand_over_runaway(self) -> None:
        leadership = self._raft.leadership
        if (
            leadership is None
            or self._led_ticks % self._raft.config.election_ticks
            or not (off := self._keeper.runs_off(self._raft.voters))
        ):
            return
        with contextlib.suppress(Busy, ChangeRefused):
            leadership.transfer(max(off, key=lambda n: (leadership.progress[n].match, n)))

    def _keep(self) -> None:
        """Time stands still in the log while nobody writes; counters expire, and TTLs count down,
        all the same."""
        machine = self._applied.machine
        due = machine.next_expiry_ms()
        if due is None or self._under_way(self._ticked):
            return
        now = self.stamp()
        if due <= now or (now - machine.time_ms >= LOG_TIME_STEP_MS and not self._room.full):
            self._propose_tick()

    def clear_away(self) -> None:
        """What is due and not removed goes with the next entries (counters/state.py): one at a
        time, so that clients' come in between."""
        if not self._under_way(self._ticked):
            self._propose_tick()

    def tick_before_read(self) -> tuple[int, int] | None:
        """A counter past its deadline is not read any more: while one is due, time goes into the
        log. Term and index of that entry, which the read is to wait for."""
        due = self._applied.machine.next_expiry_ms()
        if due is None or due > self.stamp() or not self._propose_tick():
            return None
        return self._ticked

    def _propose_tick(self) -> bool:
        """On a full disk rarely, as each takes of the room that deletions need: counters expire
        late there, by `FULL_DISK_STEP_MS`."""
        machine = self._applied.machine
        if self._room.full and not machine.backlog:
            late_ms = self.stamp() - machine.time_ms
            if late_ms < FULL_DISK_STEP_MS or not self._room.has_for_tick():
                return False
        if not self._propose(batches.encode_tick()):
            return False
        self._ticked = self._last()
        return True

    # --- of everybody -----------------------------------------------------------------------------

    def receive(self, sender: NodeId, message: ClockAsk | ClockAnswer, *, leads: bool) -> None:
        """`leads`: this node."""
        raft = self._raft
        if isinstance(message, ClockAnswer):
            if leads:
                voter = sender in raft.voters and message.log_term == raft.term
                self._keeper.heard(sender, message, voter=voter)
            return
        from_leader = sender == raft.leader and message.term == raft.term and not leads
        self._send(
            sender, self._keeper.answer(message, raft.log.last_term, from_leader=from_leader)
        )

    def note_stamp(self, entries: list[Entry]) -> None:
        """What a leader of an earlier term stamped is no note: it may be from before a full stop.
        Nor is an older note of use then, as it may be of another line: the leader of this term will
        tell."""
        for entry in reversed(entries):
            if entry.kind is EntryKind.DATA:
                if entry.term == self._raft.term:
                    self._time.heard(int.from_bytes(entry.data[: batches.TIME_BYTES], "big"))
                else:
                    self._time.note = None
                return
