"""What a node's Raft knows, and what it wants sent: the part that all of the machine sees. It
decides nothing. `State` is the base of `Elections` (election.py), that of `Raft` (core.py, the
follower's side); leadership.py, the leader's side, holds one.

Two ways lead out. `send`: the message may leave at once. `once_durable`: it leaves when everything
that was appended, voted or installed before it is on this node's disk."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

from counter_node.raft.incoming import IncomingSnapshot
from counter_node.raft.lease import Promise
from counter_node.raft.log import RaftLog
from counter_node.raft.messages import AppendResponse, Message
from counter_node.raft.types import NONE, Entry, HardState, NodeId, Snapshot, SnapshotMeta

Outgoing = list[tuple[NodeId, Message]]
"""Messages, each with the member that it goes to."""


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
    max_entry_bytes: int = (
        8 << 20
        # of data; what is larger is never appended here (what a leader of an older version sends is
        # taken)
    )
    max_write_bytes: int = (
        8 << 20
    )  # of data in one unit for the disk, but for a single larger entry
    promote_lag: int = 64  # entries a learner may be behind when it becomes a voter
    # behind a snapshot, for followers that are a little behind: more if one that answers needs
    # them,
    keep_entries: int = 1_000
    keep_bytes: int = 32 << 20  # but never more than this


class State:
    def __init__(
        self,
        config: Config,
        hard_state: HardState,
        snapshot: SnapshotMeta,
        entries: Sequence[Entry],
        promise: Promise | None = None,
    ) -> None:
        """As it was recovered from the disk; `entries` may begin before the snapshot's index.
        `promise` is given where leases are on (lease.py)."""
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
        self.reads: list[tuple[int, int]] = []  # (id, index) of this node's own confirmed reads
        self.promise = promise
        self._saved = (hard_state.term, hard_state.vote)  # on the disk, or on the way there
        self._incoming = IncomingSnapshot()
        self.arrived: Snapshot | None = (
            None  # received whole; its file is to be saved, then `adopt` called
        )
        self._install: SnapshotMeta | None = None  # adopted; the log on disk is to name it
        self.to_restore: Snapshot | None = None  # for the state machine
        self._messages: Outgoing = []
        self._after: Outgoing = []

    def send(self, to: NodeId, message: Message) -> None:
        self._messages.append((to, message))

    def once_durable(self, to: NodeId, message: Message) -> None:
        """Of one kind to one member only the newest waits: a disk that takes nothing any more, or
        nothing for long, makes nothing grow."""
        for position, (other, old) in enumerate(self._after):
            if other == to and type(old) is type(message):
                if (
                    isinstance(old, AppendResponse)
                    and isinstance(message, AppendResponse)
                    and old.term == message.term
                ):
                    message = max(
                        old, message, key=lambda answer: answer.index
                    )  # of one leader's log both are true
                self._after[position] = (to, message)
                return
        self._after.append((to, message))

    def _take_after(self) -> Outgoing:
        """What may leave once the unit is durable that was just taken for the disk. Where more than
        one unit is to be written, only what does not depend on the rest."""
        after, self._after = self._after, []
        if self.log.unstable <= self.log.last_index:
            after, self._after = _parted(after, self.log.unstable)
        return after


def _parted(after: Outgoing, unstable: int) -> tuple[Outgoing, Outgoing]:
    """What may leave while the entries from `unstable` on are not durable, and what may not."""
    may: Outgoing = []
    must_wait: Outgoing = []
    for to, message in after:
        fits = isinstance(message, AppendResponse) and message.index < unstable
        (may if fits else must_wait).append((to, message))
    return may, must_wait
