"""One node's Raft: the common door, elections and the follower's side. What only a leader does is in leadership.py.

Roles: FOLLOWER → PRECANDIDATE → CANDIDATE → LEADER, and back to FOLLOWER on any higher term. A node that is no voter (a learner, or one that
waits to be joined) is a FOLLOWER that never campaigns.

Safety rests on five sentences, each asserted or tested: a vote is durable before it is told (`after`), and there is one per term; an entry is
durable before it is acknowledged (`after`); a committed entry is never overwritten (log.py); only an entry of the leader's own term is committed
by counting (leadership.py, thesis 3.6.2); membership changes one member at a time, takes effect when applied, and nobody campaigns with an
unapplied committed change.

Why taking effect at apply is safe: a leader proposes a change only after it applied the one before, so the message that carries change j also
tells that change i before it is committed; and whatever is durable of the log is written together with the commit index (`take_persist`). So a
node that has j, even after a crash, has i in force, and two nodes' configurations differ by one member at most: their majorities meet.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Sequence
from typing import Final, cast

import msgspec

from counter_node.raft import quorum
from counter_node.raft.contact import Contact
from counter_node.raft.leadership import Leadership
from counter_node.raft.lease import Promise
from counter_node.raft.log import RaftLog
from counter_node.raft.membership import changed
from counter_node.raft.messages import (
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    Message,
    ReadRequest,
    ReadResponse,
    SnapshotResponse,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from counter_node.raft.removal import is_later, why_not_believed
from counter_node.raft.types import NONE, Entry, EntryKind, HardState, MembershipChange, NodeId, Removal, Snapshot, SnapshotMeta

OF_LEADER: Final = (Append, Heartbeat, InstallSnapshot)
"""What only a leader sends."""


class Role(enum.StrEnum):
    FOLLOWER = "follower"
    PRECANDIDATE = "precandidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """Times in ticks. An election timeout is drawn from [election_ticks, 2 * election_ticks)."""

    id: NodeId
    heartbeat_ticks: int = 1
    election_ticks: int = 10
    max_append_bytes: int = 1 << 20
    max_inflight: int = 64
    max_inflight_bytes: int = 16 << 20
    max_uncommitted_bytes: int = 64 << 20
    max_entry_bytes: int = 8 << 20  # of data; what is larger is never appended here (what a leader of an older version sends is taken)
    max_write_bytes: int = 8 << 20  # of data in one unit for the disk, but for a single larger entry
    promote_lag: int = 64  # entries a learner may be behind when it becomes a voter
    keep_entries: int = 1_000  # behind a snapshot, for followers that are a little behind: more if one that answers needs them,
    keep_bytes: int = 32 << 20  # but never more than this


class Persist(msgspec.Struct, frozen=True):
    """One unit for the disk, and the messages that may leave only after it is durable."""

    hard_state: HardState | None  # None: nothing to write
    entries: list[Entry]
    snapshot: SnapshotMeta | None  # of an adopted snapshot, whose file is saved already
    after: list[tuple[NodeId, Message]]


class Raft:
    def __init__(
        self,
        config: Config,
        hard_state: HardState,
        snapshot: SnapshotMeta,
        entries: Sequence[Entry],
        randint: Callable[[int, int], int],
        promise: Promise | None = None,
    ) -> None:
        """State as it was recovered from the disk; `entries` may begin before the snapshot's index. `randint(low, high)` is inclusive. `promise`
        is given where leases are on (lease.py)."""
        assert config.id != NONE, "a node needs an id"
        self.config = config
        self.id = config.id
        self.term = hard_state.term
        self.vote = hard_state.vote
        self.log = RaftLog(snapshot.index, snapshot.term, entries, hard_state.commit)
        self.membership = snapshot.membership
        self.voters = self.membership.voters()
        self.snapshot = snapshot  # the newest one that can be sent to others
        self.role = Role.FOLLOWER
        self.leader: NodeId = NONE
        self.leadership: Leadership | None = None
        self.reads: list[tuple[int, int]] = []  # (id, index) of this node's own confirmed reads
        self.promise = promise
        self.disk_answers = True  # set by who owns the disk; without one there is no use in asking for votes, nor in promising one
        self._randint = randint
        self._messages: list[tuple[NodeId, Message]] = []
        self._after: list[tuple[NodeId, Message]] = []
        self._saved = (hard_state.term, hard_state.vote)
        self._install: SnapshotMeta | None = None  # adopted; the log on disk is to name it
        self.arrived: Snapshot | None = None  # received whole; its file is to be saved, then `adopt` called
        self.to_restore: Snapshot | None = None  # for the state machine
        self._incoming: tuple[NodeId, int, SnapshotMeta] | None = None  # sender, term: one and the same file, so a piece fits the one before
        self._pieces = bytearray()
        self._votes: dict[NodeId, bool] = {}
        self._elapsed = 0
        self._timeout = self._draw_timeout()
        self._contact = Contact()
        self.told_removed: Removal | None = None  # by a peer, and believed (removal.py)
        self._given_up = False  # by a later history

    # --- what the caller takes out ------------------------------------------------------------------------------------------

    def take_messages(self) -> list[tuple[NodeId, Message]]:
        if self.leadership is not None:
            self.leadership.flush()
        found, self._messages = self._messages, []
        return found

    def take_persist(self) -> Persist | None:
        log = self.log
        entries = log.take_unstable(self.config.max_write_bytes) if log.unstable <= log.last_index else []
        changed_state = (self.term, self.vote) != self._saved
        hard_state = None
        if changed_state or entries or self._install is not None:
            hard_state = HardState(self.term, self.vote, self.log.committed)
            self._saved = (self.term, self.vote)
        if entries and self.leadership is not None:
            self._once_durable(self.id, AppendResponse(self.term, True, entries[-1].index))
        if hard_state is None and not self._after:
            return None
        after, self._after = self._after, []
        if log.unstable <= log.last_index:  # there is more than one unit takes: only what does not depend on the rest may leave after this one
            after, self._after = _parted(after, log.unstable)
        found = Persist(hard_state, entries, self._install, after)
        self._install = None
        return found

    def take_restore(self) -> Snapshot | None:
        """The snapshot that the state machine must be replaced by before it applies anything else."""
        found, self.to_restore = self.to_restore, None
        return found

    def take_committed(self, max_bytes: int) -> list[Entry]:
        return self.log.take_committed(max_bytes)

    def take_reads(self) -> list[tuple[int, int]]:
        found, self.reads = self.reads, []
        return found

    @property
    def settled(self) -> bool:
        """Of a leader: nothing is to be sent, written or handed over. False also where that is not certain."""
        leadership, log = self.leadership, self.log
        return (
            leadership is not None
            and log.handed >= log.committed
            and log.unstable > log.last_index
            and not (self._messages or self._after or self.reads)
            and leadership.settled
        )

    # --- what the caller puts in --------------------------------------------------------------------------------------------

    def tick(self) -> None:
        self._elapsed += 1
        self._contact.tick(led=self.leader != NONE)
        if self.leadership is not None:
            self.leadership.tick()
        elif self._elapsed >= self._timeout and not self._promised():
            self.campaign()  # where it may not, the time goes on: who hears no leader must not refuse its vote to those that may

    def step(self, sender: NodeId, message: Message) -> None:
        """The common door: terms first, then the role's own handler."""
        if message.term > self.term and not self._meet_higher_term(sender, message):
            return
        if message.term < self.term:
            self._answer_lower_term(sender, message)
            return
        if isinstance(message, OF_LEADER):
            self._on_leader(sender, message)
        elif self.leadership is not None and isinstance(message, AppendResponse):
            self.leadership.step(sender, message)
        elif isinstance(message, VoteRequest):
            self._on_vote_request(sender, message)
        elif isinstance(message, VoteResponse):
            self._on_vote_response(sender, message)
        elif isinstance(message, TimeoutNow):
            self._on_timeout_now(sender)
        elif isinstance(message, ReadResponse):
            self.reads.append((message.id, message.index))
        elif self.leadership is not None:
            self.leadership.step(sender, message)

    def propose(self, data: bytes, origin: NodeId = NONE) -> bool:
        """Leader only: one DATA entry, sent here by `origin` or our own. False when it was certainly not taken (no leader, handing over, uncommitted
        too much)."""
        return self.leadership is not None and self.leadership.propose(EntryKind.DATA, data, origin)

    def read(self, read_id: int) -> bool:
        """Ask for a read index; the answer appears in `reads`, or never. False when no leader is known."""
        if self.leadership is not None:
            self.leadership.read(self.id, read_id)
        elif self.leader != NONE:
            self.send(self.leader, ReadRequest(self.term, read_id))
        else:
            return False
        return True

    def applied_to(self, index: int) -> None:
        assert self.log.applied <= index <= self.log.committed
        self.log.applied = index

    def apply_change(self, change: MembershipChange, term: int, index: int) -> None:
        """A committed CONFIG entry, at `index` and of `term`, takes effect. What the leader checked
        when it proposed still holds, as only one is ever in flight."""
        self.membership = changed(self.membership, change, term, index)
        self.voters = self.membership.voters()
        if self.leadership is not None:
            if self.id not in self.voters:
                self._become_follower(self.term, NONE)
            else:
                self.leadership.membership_changed()

    def snapshot_taken(self, meta: SnapshotMeta, *, all_goes: bool = False) -> None:
        """A durable snapshot exists: forget the log up to it, but for what the configuration says is kept for others. `all_goes`: on a full disk,
        where whoever lacks something gets the snapshot."""
        assert meta.index <= self.log.applied
        self.snapshot = meta
        if all_goes:
            self.log.compact(meta.index)
            return
        oldest = meta.index - self.config.keep_entries
        if self.leadership is not None:
            slow = [p.needs_after for n, p in self.leadership.progress.items() if n != self.id and p.active]
            oldest = min([oldest, *slow])
        self.log.compact(self.log.oldest_within(oldest, meta.index, self.config.keep_bytes))

    def campaign(self, *, transfer: bool = False) -> None:
        """Start an election, with a pre-vote unless leadership is being handed to us. Nothing happens where it would be wrong to."""
        if self.leadership is not None or self.id not in self.voters or not self.disk_answers or self.told_removed is not None:
            return
        if self._install is not None or self._unapplied_change() or self._vote_on_its_way:
            return
        self._votes = {}
        self._timeout = self._draw_short_timeout()
        self._elapsed = 0
        self.leader = NONE
        if transfer:
            self._become_candidate(transfer=True)
        else:
            self.role = Role.PRECANDIDATE
            self._ask_for_votes(pre=True)
            self._count_vote(self.id, True)

    def hears_of_removal(self, removal: Removal | None, mine: Sequence[str], theirs: Sequence[str]) -> str:
        """A peer refuses this node as a removed one. Empty when that is believed, else why not (removal.py)."""
        reason = why_not_believed(self, mine, removal, theirs)
        if not reason:
            self.told_removed, self._given_up = removal, self._given_up or is_later(mine, theirs)
            self._become_follower(self.term, NONE)
        return reason

    @property
    def silent_ticks(self) -> int:
        """For how long neither a leader nor a majority of the voters was heard (contact.py)."""
        return self._contact.silent_ticks(self.voters, self.id)

    def step_down(self) -> None:
        """The leader gives up, because its disk or its loop stalls."""
        if self.leadership is not None:
            self._become_follower(self.term, NONE)

    def leader_link_lost(self, node: NodeId) -> None:
        """The link from `node` was closed: if it leads, it probably died. Only a hint: a pre-vote, which fails if others still hear it. The first
        of the other voters asks at once, each further one a tick later, so that they do not split the votes."""
        if self.leadership is not None or node != self.leader:
            return
        self.leader = NONE
        rank = sorted((self.voters | {self.id}) - {node}).index(self.id)
        self._elapsed = max(self._elapsed, self._timeout - rank)
        if rank == 0 and not self._promised():
            self.campaign()

    # --- helpers of both sides ----------------------------------------------------------------------------------------------

    def send(self, to: NodeId, message: Message) -> None:
        self._messages.append((to, message))

    def _once_durable(self, to: NodeId, message: Message) -> None:
        """It leaves when all that it depends on is durable. Of one kind to one member only the newest waits: a disk that takes nothing any more, or
        nothing for long, makes nothing grow."""
        for position, (other, old) in enumerate(self._after):
            if other == to and type(old) is type(message):
                if isinstance(old, AppendResponse) and isinstance(message, AppendResponse) and old.term == message.term:
                    message = max(old, message, key=lambda answer: answer.index)  # of one leader's log both are true
                self._after[position] = (to, message)
                return
        self._after.append((to, message))

    def restart_election_timer(self) -> None:
        self._elapsed = 0

    def lost_quorum(self) -> None:
        self._become_follower(self.term, NONE)

    def _promised(self) -> bool:
        return self.promise is not None and self.promise.binds()

    def _draw_timeout(self) -> int:
        return self._randint(self.config.election_ticks, 2 * self.config.election_ticks - 1)

    def _draw_short_timeout(self) -> int:
        """While nobody leads there is nobody to be patient with. An answer that takes longer than this costs no term, as it is a pre-vote first."""
        return self._randint(max(1, self.config.election_ticks // 2), self.config.election_ticks)

    @property
    def _vote_on_its_way(self) -> bool:
        """A candidate's own vote is not durable yet, so nobody was asked. One more term would outdate the answers before they come: no election would
        end while disks are slower than the timeout."""
        return self.role is Role.CANDIDATE and self.id not in self._votes

    def _unapplied_change(self) -> bool:
        log = self.log
        unapplied = log.entries[log.applied - log.offset : log.committed - log.offset]
        return any(e.kind is EntryKind.CONFIG for e in unapplied)

    # --- terms --------------------------------------------------------------------------------------------------------------

    def _meet_higher_term(self, sender: NodeId, message: Message) -> bool:
        """False when the message is to be ignored."""
        self._contact.heard(sender)
        if isinstance(message, VoteRequest):
            hears_leader = self.leader != NONE and self._elapsed < self.config.election_ticks
            if (hears_leader or self._promised()) and not message.transfer:
                return False  # thesis 4.2.3: a disturber does not depose a leader that is heard
            if message.pre:
                return True  # asks about a term that nobody has entered
        if isinstance(message, VoteResponse) and message.pre and message.granted:
            return True  # answers our own question about the next term
        leads = isinstance(message, OF_LEADER)
        self._become_follower(message.term, sender if leads else NONE)
        return True

    def _answer_lower_term(self, sender: NodeId, message: Message) -> None:
        self._contact.heard(sender)
        if isinstance(message, OF_LEADER):
            self.send(sender, HeartbeatResponse(self.term, 0))  # an old leader: our term makes it step down
        elif isinstance(message, VoteRequest) and message.pre:
            self.send(sender, self._refusal(pre=True))

    def _become_follower(self, term: int, leader: NodeId) -> None:
        assert term >= self.term, "terms never fall"
        if term > self.term:
            self.term, self.vote = term, NONE
        self.role, self.leader, self.leadership = Role.FOLLOWER, leader, None
        self._votes = {}
        self._elapsed = 0
        self._timeout = self._draw_timeout()

    # --- elections ----------------------------------------------------------------------------------------------------------

    def _become_candidate(self, *, transfer: bool) -> None:
        assert not self._unapplied_change(), "a candidate asks the voters of every change that it knows to be committed"
        self.term, self.vote = self.term + 1, self.id
        self.role, self.leader, self._votes = Role.CANDIDATE, NONE, {}
        self._ask_for_votes(pre=False, transfer=transfer)
        self._once_durable(self.id, VoteResponse(self.term, False, True))  # our own vote counts once it is durable

    def _ask_for_votes(self, *, pre: bool, transfer: bool = False) -> None:
        term = self.term + 1 if pre else self.term
        request = VoteRequest(term, pre, self.log.last_index, self.log.last_term, transfer)
        # A real request names a log and a term that must survive a crash of ours; a pre-vote binds nobody.
        ask = self.send if pre else self._once_durable
        for voter in sorted(self.voters - {self.id}):
            ask(voter, request)

    def _on_vote_request(self, sender: NodeId, m: VoteRequest) -> None:
        self._contact.heard(sender)
        if self._promised() and not m.transfer:
            return
        free = self.vote == sender or (self.vote == NONE and self.leader == NONE) or (m.pre and m.term > self.term)
        up_to_date = (m.last_term, m.last_index) >= (self.log.last_term, self.log.last_index)
        granted = free and up_to_date
        if m.pre:
            granted = granted and self.disk_answers
            self.send(sender, VoteResponse(m.term, True, True) if granted else self._refusal(pre=True))
            return
        if granted:
            self.vote = sender
            self._elapsed = 0
        self._once_durable(sender, VoteResponse(self.term, False, True) if granted else self._refusal(pre=False))

    def _refusal(self, *, pre: bool) -> VoteResponse:
        return VoteResponse(self.term, pre, False, self.log.committed, self.log.term(self.log.committed))

    def _on_vote_response(self, sender: NodeId, m: VoteResponse) -> None:
        self._contact.heard(sender)
        if self.leadership is None and not m.granted and self.log.matches(m.commit, m.commit_term):
            # What is committed stays so, whoever says it. Without this, who lacks the news that a voter was removed could need its vote for ever.
            self.log.commit_to(m.commit)
            if self._unapplied_change():
                self._become_follower(self.term, NONE)  # the majority that was asked may not be the one that counts
                self._timeout = self._draw_short_timeout()
        if (self.role, m.pre) in ((Role.PRECANDIDATE, True), (Role.CANDIDATE, False)):
            self._count_vote(sender, m.granted)

    def _count_vote(self, voter: NodeId, granted: bool) -> None:
        self._votes.setdefault(voter, granted)
        if voter == self.id:
            self._elapsed = 0  # the others are asked only now
        result = quorum.vote_result(self.voters, self._votes)
        if result is quorum.VoteResult.LOST:
            split = self.role is Role.CANDIDATE
            self._become_follower(self.term, NONE)
            if split:
                self._timeout = self._draw_short_timeout()
        elif result is quorum.VoteResult.WON:
            if self.role is Role.PRECANDIDATE:
                self._become_candidate(transfer=False)
            else:
                self.role, self.leader, self._elapsed = Role.LEADER, self.id, 0
                self.leadership = Leadership(self)

    def _on_timeout_now(self, sender: NodeId) -> None:
        if self.role is Role.FOLLOWER and sender == self.leader:
            self.campaign(transfer=True)

    # --- the follower's side ------------------------------------------------------------------------------------------------

    def _on_leader(self, sender: NodeId, m: Append | Heartbeat | InstallSnapshot) -> None:
        assert self.leadership is None, f"two leaders in term {self.term}: {self.id:016x} and {sender:016x}"
        if self.role is not Role.FOLLOWER:
            self._become_follower(m.term, sender)
        self._elapsed = 0
        self.leader = sender
        if self.told_removed is not None and not self._given_up:
            self.told_removed = None  # leaders write to members only
        if self.promise is not None:
            self.promise.renew()
        if isinstance(m, Append):
            self._on_append(sender, m)
        elif isinstance(m, Heartbeat):
            assert m.commit <= self.log.last_index, "this node lost entries that it had acknowledged"
            self.log.commit_to(m.commit)
            self.send(sender, HeartbeatResponse(self.term, m.read, 0 if self.promise is None else self.promise.promise_ms))
        else:
            self._on_snapshot(sender, m)

    def _on_append(self, sender: NodeId, m: Append) -> None:
        if m.prev_index < self.log.committed:
            self._once_durable(sender, AppendResponse(self.term, True, self.log.committed))
        elif self.log.matches(m.prev_index, m.prev_term):
            last_new = self.log.append_after(m.prev_index, m.entries)
            self.log.commit_to(min(m.commit, last_new))
            self._once_durable(sender, AppendResponse(self.term, True, last_new))
        else:
            hint_index, hint_term = self.log.guess(m.prev_index, m.prev_term)
            self.send(sender, AppendResponse(self.term, False, m.prev_index, hint_index, hint_term))

    def _on_snapshot(self, sender: NodeId, m: InstallSnapshot) -> None:
        meta = m.meta
        if self.arrived is not None and self.arrived.meta == meta:
            return  # it is being saved, or waits for room on the disk
        if meta.index > self.log.committed:
            if self.log.matches(meta.index, meta.term):
                self.log.commit_to(meta.index)  # everything is here already; only the news was missing
            elif not self._take_piece(sender, m):
                self.send(sender, SnapshotResponse(self.term, meta.index, len(self._pieces)))
                return
            else:
                self.arrived = Snapshot(meta, cast("bytes", self._pieces))  # who gets it only reads; a copy of hundreds of MiB would take its time
                self._incoming, self._pieces = None, bytearray()
                return  # it is answered when it is adopted
        self._incoming, self._pieces = None, bytearray()
        self._once_durable(sender, AppendResponse(self.term, True, self.log.committed))

    def adopt(self, snapshot: Snapshot) -> None:
        """The file of a received snapshot is saved: the log starts anew after it. Nothing of it was used before, so one that found no room changed
        nothing. Whatever came in the meantime: what a snapshot holds is committed, in every term."""
        meta = snapshot.meta
        if self.arrived is snapshot:
            self.arrived = None
        if self.leadership is not None or meta.index <= self.log.committed:
            return
        if self.log.matches(meta.index, meta.term):
            self.log.commit_to(meta.index)
        else:
            if self.role is not Role.FOLLOWER:
                self._become_follower(self.term, NONE)  # the votes that it asks for are for another log
            self.log.restore(meta.index, meta.term)
            self.membership, self.voters = meta.membership, meta.membership.voters()
            self.snapshot = self._install = meta
            self.to_restore = snapshot
        if self.leader != NONE:
            self._once_durable(self.leader, AppendResponse(self.term, True, self.log.committed))

    def _take_piece(self, sender: NodeId, m: InstallSnapshot) -> bool:
        """True when the snapshot is complete. A piece that does not follow what is here is left: the answer says where to go on."""
        stream = (sender, m.term, m.meta)
        if stream != self._incoming:
            self._incoming, self._pieces = stream, bytearray()
        if m.offset != len(self._pieces):
            return False
        self._pieces += m.data
        return m.last


def _parted(after: list[tuple[NodeId, Message]], unstable: int) -> tuple[list[tuple[NodeId, Message]], list[tuple[NodeId, Message]]]:
    """What may leave while the entries from `unstable` on are not durable, and what may not."""
    may: list[tuple[NodeId, Message]] = []
    must_wait: list[tuple[NodeId, Message]] = []
    for to, message in after:
        fits = isinstance(message, AppendResponse) and message.index < unstable
        (may if fits else must_wait).append((to, message))
    return may, must_wait
