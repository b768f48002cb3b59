"""The values that Raft persists and exchanges, shared by the core, the storage and the wire.

All are immutable `msgspec.Struct`s encoded as MessagePack arrays (`array_like`), so that one
definition serves the log file, the snapshot file and the peer link. Adding a field at the end with
a default keeps old files readable; anything else is a new format."""

from __future__ import annotations

import enum

import msgspec

NodeId = int
"""63-bit random number, made with the data directory, never reused. 0 means "none"."""

NONE: NodeId = 0


class EntryKind(enum.IntEnum):
    NOOP = 0  # the entry that opens a term (thesis 6.4)
    DATA = 1  # opaque to Raft: the replicated state machine's
    CONFIG = 2  # a MembershipChange


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One entry of the replicated log. `data` is opaque unless `kind` is CONFIG."""

    index: int
    term: int
    kind: EntryKind
    data: bytes


class HardState(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What must be durable before a message that depends on it leaves (thesis figure 3.1).

    `commit` is not needed for safety; it lets a restarted node apply before it has heard from a
    leader."""

    term: int = 0
    vote: NodeId = NONE
    commit: int = 0


class Member(msgspec.Struct, array_like=True, frozen=True):
    """One member of the cluster as recorded in the replicated configuration."""

    id: NodeId
    name: str
    peer: str  # host:port of the peer link, resolved at each connect
    resp: str  # host:port shown to clients
    voter: bool


class Removal(msgspec.Struct, array_like=True, frozen=True):
    """The decision that `node` is no member any more: term and index of its entry, or of the
    snapshot that RAFT.RECOVER made."""

    node: NodeId
    term: int
    index: int


class Membership(msgspec.Struct, array_like=True, frozen=True):
    """The cluster's configuration. `removed` keeps ids from coming back (a node id is never
    reused). `removals` tells when each was decided, where it was a version that knows this field
    that applied the decision; an older one skips it."""

    members: tuple[Member, ...] = ()
    removed: tuple[NodeId, ...] = ()
    removals: tuple[Removal, ...] = ()

    def removal(self, node: NodeId) -> Removal | None:
        return next((r for r in self.removals if r.node == node), None)

    def voters(self) -> frozenset[NodeId]:
        return frozenset(m.id for m in self.members if m.voter)

    def learners(self) -> frozenset[NodeId]:
        return frozenset(m.id for m in self.members if not m.voter)

    def get(self, node: NodeId) -> Member | None:
        return next((m for m in self.members if m.id == node), None)


class ChangeKind(enum.IntEnum):
    ADD_LEARNER = 0
    PROMOTE = 1
    REMOVE = 2


class MembershipChange(msgspec.Struct, array_like=True, frozen=True):
    """One change of one member; the payload of a CONFIG entry. `member` is set for ADD_LEARNER
    only."""

    kind: ChangeKind
    id: NodeId
    member: Member | None = None


class SnapshotMeta(msgspec.Struct, array_like=True, frozen=True):
    """Position and configuration of a snapshot: the state after applying every entry up to `index`,
    which is of `term`."""

    index: int = 0
    term: int = 0
    membership: Membership = Membership()


class Snapshot(msgspec.Struct, array_like=True, frozen=True):
    meta: SnapshotMeta
    state: bytes  # the state machine's own encoding
