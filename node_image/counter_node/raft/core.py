"""One node's Raft: the one way in (`step`), what the caller takes out and puts in, and the
follower's side. Elections are in election.py, what only a leader does is in leadership.py, and what
all of them see in state.py.

Roles: FOLLOWER → PRECANDIDATE → CANDIDATE → LEADER, and back to FOLLOWER on any higher term. A node
that is no voter (a learner, or one that waits to be joined) is a FOLLOWER that never campaigns.

Safety rests on five sentences, each asserted or tested: a vote is durable before it is sent
(`after`), and there is one per term; an entry is durable before it is acknowledged (`after`); a
committed entry is never overwritten (log.py); only an entry of the leader's own term is committed
by counting (leadership.py, thesis 3.6.2); membership changes one member at a time, takes effect
when applied, and nobody campaigns with an unapplied committed change.

Why taking effect at apply is safe: a leader proposes a change only after it applied the one before,
so the message that carries change j also tells that change i before it is committed; and whatever
is durable of the log is written together with the commit index (`take_persist`). So a node that has
j, even after a crash, has i in force, and two nodes' configurations differ by one member at most:
their majorities meet."""

from __future__ import annotations

import msgspec

from counter_node.raft.election import Elections
from counter_node.raft.membership import changed
from counter_node.raft.messages import (
    OF_LEADER,
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
from counter_node.raft.state import Role
from counter_node.raft.types import (
    NONE,
    Entry,
    EntryKind,
    HardState,
    MembershipChange,
    NodeId,
    Snapshot,
    SnapshotMeta,
)


class Persist(msgspec.Struct, frozen=True):
    """One unit for the disk, and the messages that may leave only after it is durable."""

    hard_state: HardState | None  # None: nothing to write
    entries: list[Entry]
    snapshot: SnapshotMeta | None  # of an adopted snapshot, whose file is saved already
    after: list[tuple[NodeId, Message]]


class Raft(Elections):
    # --- what the caller takes out ----------------------------------------------------------------

    def take_messages(self) -> list[tuple[NodeId, Message]]:
        if self.leadership is not None:
            self.leadership.flush()
        found, self._messages = self._messages, []
        return found

    def take_persist(self) -> Persist | None:
        log = self.log
        entries = (
            log.take_unstable(self.config.max_write_bytes) if log.unstable <= log.last_index else []
        )
        changed_state = (self.term, self.vote) != self._saved
        hard_state = None
        if changed_state or entries or self._install is not None:
            hard_state = HardState(self.term, self.vote, self.log.committed)
            self._saved = (self.term, self.vote)
        if entries and self.leadership is not None:
            self.once_durable(self.id, AppendResponse(self.term, True, entries[-1].index))
        if hard_state is None and not self._after:
            return None
        found = Persist(hard_state, entries, self._install, self._take_after())
        self._install = None
        return found

    def take_restore(self) -> Snapshot | None:
        """The snapshot that the state machine must be replaced by before it applies anything
        else."""
        found, self.to_restore = self.to_restore, None
        return found

    def take_committed(self, max_bytes: int) -> list[Entry]:
        return self.log.take_committed(max_bytes)

    def take_reads(self) -> list[tuple[int, int]]:
        found, self.reads = self.reads, []
        return found

    @property
    def has_nothing_to_do(self) -> bool:
        """Of a leader: nothing is to be sent, written or handed over. False also where that is not
        certain."""
        leadership, log = self.leadership, self.log
        return (
            leadership is not None
            and log.handed >= log.committed
            and log.unstable > log.last_index
            and not (self._messages or self._after or self.reads)
            and leadership.has_nothing_to_send
        )

    # --- what the caller puts in ------------------------------------------------------------------

    def tick(self) -> None:
        self._elapsed += 1
        self._contact.tick(led=self.leader != NONE)
        if self.leadership is not None:
            self._elapsed = 0  # a leader hears itself
            if self.leadership.tick():
                self._become_follower(self.term, NONE)
        elif self._elapsed >= self._timeout and not self._promised():
            # where it may not, the time goes on: who hears no leader must not refuse its vote to
            # those that may
            self.campaign()

    def step(self, sender: NodeId, message: Message) -> None:
        """The way in of every message: terms first, then the role's own handler."""
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
        """Leader only: one DATA entry, sent here by `origin` or our own. False when it was
        certainly not taken (no leader, handing over, uncommitted too much)."""
        return self.leadership is not None and self.leadership.propose(EntryKind.DATA, data, origin)

    def read(self, read_id: int) -> bool:
        """Ask for a read index; the answer appears in `reads`, or never. False when no leader is
        known."""
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
        """A durable snapshot exists: forget the log up to it, but for what the configuration says
        is kept for others. `all_goes`: on a full disk, where whoever lacks something gets the
        snapshot."""
        assert meta.index <= self.log.applied
        self.snapshot = meta
        if all_goes:
            self.log.compact(meta.index)
            return
        oldest = meta.index - self.config.keep_entries
        if self.leadership is not None:
            slow = [
                p.needs_after
                for n, p in self.leadership.progress.items()
                if n != self.id and p.active
            ]
            oldest = min([oldest, *slow])
        self.log.compact(self.log.oldest_within(oldest, meta.index, self.config.keep_bytes))

    # --- the follower's side ----------------------------------------------------------------------

    def _on_leader(self, sender: NodeId, m: Append | Heartbeat | InstallSnapshot) -> None:
        assert self.leadership is None, (
            f"two leaders in term {self.term}: {self.id:016x} and {sender:016x}"
        )
        if self.role is not Role.FOLLOWER:
            self._become_follower(m.term, sender)
        self._elapsed = 0
        self.leader = sender
        if self.believed_removal is not None and not self._given_up:
            self.believed_removal = None  # leaders write to members only
        if self.promise is not None:
            self.promise.renew()
        if isinstance(m, Append):
            self._on_append(sender, m)
        elif isinstance(m, Heartbeat):
            assert m.commit <= self.log.last_index, (
                "this node lost entries that it had acknowledged"
            )
            self.log.commit_to(m.commit)
            self.send(
                sender,
                HeartbeatResponse(
                    self.term, m.read, 0 if self.promise is None else self.promise.promise_ms
                ),
            )
        else:
            self._on_snapshot(sender, m)

    def _on_append(self, sender: NodeId, m: Append) -> None:
        if m.prev_index < self.log.committed:
            self.once_durable(sender, AppendResponse(self.term, True, self.log.committed))
        elif self.log.matches(m.prev_index, m.prev_term):
            last_new = self.log.append_after(m.prev_index, m.entries)
            self.log.commit_to(min(m.commit, last_new))
            self.once_durable(sender, AppendResponse(self.term, True, last_new))
        else:
            hint_index, hint_term = self.log.find_conflict(m.prev_index, m.prev_term)
            self.send(sender, AppendResponse(self.term, False, m.prev_index, hint_index, hint_term))

    def _on_snapshot(self, sender: NodeId, m: InstallSnapshot) -> None:
        meta = m.meta
        if self.arrived is not None and self.arrived.meta == meta:
            return  # it is being saved, or waits for room on the disk
        if meta.index > self.log.committed:
            if self.log.matches(meta.index, meta.term):
                self.log.commit_to(
                    meta.index
                )  # everything is here already; only the news was missing
            elif not self._incoming.takes(sender, m):
                self.send(sender, SnapshotResponse(self.term, meta.index, self._incoming.received))
                return
            else:
                self.arrived = Snapshot(meta, self._incoming.whole())
                return  # it is answered when it is adopted
        self._incoming.forget()
        self.once_durable(sender, AppendResponse(self.term, True, self.log.committed))

    def adopt(self, snapshot: Snapshot) -> None:
        """The file of a received snapshot is saved: the log starts again after it. Nothing of it
        was used before, so one that found no room changed nothing. Whatever came in the meantime:
        what a snapshot holds is committed, in every term."""
        meta = snapshot.meta
        if self.arrived is snapshot:
            self.arrived = None
        if self.leadership is not None or meta.index <= self.log.committed:
            return
        if self.log.matches(meta.index, meta.term):
            self.log.commit_to(meta.index)
        else:
            if self.role is not Role.FOLLOWER:
                self._become_follower(
                    self.term, NONE
                )  # the votes that it asks for are for another log
            self.log.restore(meta.index, meta.term)
            self.membership, self.voters = meta.membership, meta.membership.voters()
            self.snapshot = self._install = meta
            self.to_restore = snapshot
        if self.leader != NONE:
            self.once_durable(self.leader, AppendResponse(self.term, True, self.log.committed))
